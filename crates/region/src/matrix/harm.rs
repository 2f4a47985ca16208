//! What harm a mishap has done: what a user sees at the end of a story, beside what there is without
//! the mishap.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use crate::seeds::check_notices;
use crate::world::World;
use crate::world::ecs::Status;

/// What a user sees that should not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Harm {
    /// Of which kind.
    pub kind: HarmKind,
    /// In words.
    pub details: String,
}

/// Of which kind a harm is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HarmKind {
    /// What should have been done was not.
    Lost,
    /// It was done twice.
    Doubled,
    /// Tasks ran when their instance went.
    CutOff,
    /// People were not told.
    Untold,
    /// People were told twice.
    ToldTwice,
}

impl fmt::Display for HarmKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Lost => "lost",
            Self::Doubled => "doubled",
            Self::CutOff => "cut off",
            Self::Untold => "untold",
            Self::ToldTwice => "told twice",
        })
    }
}

/// The worst that a mishap has done, if it has done any harm: to a world that was so before, would be
/// `undisturbed` without it, and is so `after` it.
pub(super) fn done(
    before: &World,
    undisturbed: &World,
    after: &World,
    people: &str,
) -> Option<Harm> {
    let harm = |kind, details| Some(Harm { kind, details });
    let cut_off = names_cut_off(after);
    if cut_off.len() > names_cut_off(undisturbed).len() {
        return harm(HarmKind::CutOff, format!("{cut_off:?}"));
    }
    let dead = dead_letters(after);
    if dead > dead_letters(undisturbed) {
        return harm(HarmKind::Lost, format!("{dead} dead letters"));
    }
    for (name, group) in &undisturbed.groups {
        let [before, wanted, is] = [before, undisturbed, after].map(|world| capacity(world, name));
        if is != wanted {
            // Raised or lowered by more than without the mishap, or by less.
            let kind = if (is - before).abs() > (wanted - before).abs() {
                HarmKind::Doubled
            } else {
                HarmKind::Lost
            };
            let max = group.max_size;
            return harm(kind, format!("{name} is {is} of {max}, and not {wanted}"));
        }
    }
    let (are, should_be) = (instances(after), instances(undisturbed));
    if are != should_be {
        return harm(HarmKind::Lost, format!("{are:?}, and not {should_be:?}"));
    }
    let (are, should_be) = (completions(after), completions(undisturbed));
    if are != should_be {
        return harm(HarmKind::Lost, format!("{are:?}, and not {should_be:?}"));
    }
    let (told, should_be) = (told(after, people), told(undisturbed, people));
    let untold =
        should_be.iter().find(|(kind, ids)| told.get(*kind).map_or(0, BTreeSet::len) < ids.len());
    if let Some(untold) = untold {
        return harm(HarmKind::Untold, format!("{untold:?}"));
    }
    check_notices(after, people).err().and_then(|twice| harm(HarmKind::ToldTwice, twice))
}

fn names_cut_off(world: &World) -> Vec<&str> {
    world.tasks_cut_off().into_iter().map(|task| task.name.as_str()).collect()
}

/// What is tried again and fails for good. A function that is not tried again is one whose next run
/// does what a failed one did not.
fn dead_letters(world: &World) -> usize {
    let delivery = &world.delivery;
    let functions = delivery.functions.values().filter(|function| function.retries > 0);
    let functions = functions.map(|function| function.dead_letters.len());
    functions.chain(delivery.queues.values().map(|queue| queue.dead_letters.len())).sum()
}

fn capacity(world: &World, group: &str) -> i32 {
    world.groups.get(group).map_or(0, |group| group.desired_capacity)
}

/// How many container instances there are in each status, and how many of them with each attribute of
/// ours but the notes of what people were told.
fn instances(world: &World) -> BTreeMap<(String, Vec<&str>), usize> {
    let mut numbers = BTreeMap::new();
    let instances = world.clusters.values().flat_map(|cluster| cluster.instances.values());
    for instance in instances.filter(|instance| instance.status != Status::Inactive) {
        let names = MARKS.into_iter().filter(|name| instance.attribute(name).is_some());
        let status = format!("{:?}", instance.status);
        *numbers.entry((status, names.collect())).or_default() += 1;
    }
    numbers
}

const MARKS: [&str; 2] = ["ebb.drained-by", "ebb.replacing"];

/// Each lifecycle action that was completed: of which instance, with what result, and by whom.
fn completions(world: &World) -> Vec<String> {
    let completed = world.completed_actions.iter();
    let completed = completed
        .map(|action| format!("{} {:?} {:?}", action.instance_id, action.result, action.cause));
    let mut completed: Vec<_> = completed.collect();
    completed.sort();
    completed
}

/// What people were told of which instances, by the kind of the notice.
fn told(world: &World, people: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut told: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for sent in world.published.iter().filter(|sent| sent.topic_arn == people) {
        let notice: Value = serde_json::from_str(&sent.message).unwrap_or_default();
        let instances = notice["instances"].as_array().map_or(&[][..], Vec::as_slice);
        let ids = instances.iter().map(|id| format!("{} {id}", notice["title"]));
        told.entry(notice["kind"].to_string()).or_default().extend(ids);
    }
    told
}
