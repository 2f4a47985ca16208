//! What harm a mishap has done: what a user sees at the end of a story, beside what there is without
//! the mishap.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::seeds::check_notices;
use crate::world::autoscaling::CompletedBy;
use crate::world::ec2::EndedBy;
use crate::world::ecs::Status;
use crate::world::{Happening, World};

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

/// A world as it was before a story, would be at the end without a mishap, and is after it.
#[derive(Clone, Copy)]
pub(super) struct Seen<'a> {
    pub(super) before: &'a World,
    pub(super) undisturbed: &'a World,
    pub(super) after: &'a World,
}

impl Seen<'_> {
    /// The worst that a mishap has done which must make no difference, if it has made one.
    pub(super) fn done(self, people: &str) -> Option<Harm> {
        let Self { undisturbed, after, .. } = self;
        let cut_off = names_cut_off(after);
        if cut_off.len() > names_cut_off(undisturbed).len() {
            return harm(HarmKind::CutOff, format!("{cut_off:?}"));
        }
        let (are, should_be) = (instances(after), instances(undisturbed));
        let (ended, should_end) = (completions(after), completions(undisturbed));
        let (told, should_be_told) = (told(after, people), told(undisturbed, people));
        let untold = should_be_told
            .iter()
            .find(|(kind, ids)| told.get(*kind).map_or(0, BTreeSet::len) < ids.len());
        self.dead_letters()
            .or_else(|| self.capacity(true))
            .or_else(|| differ(&are, &should_be))
            .or_else(|| differ(&ended, &should_end))
            .or_else(|| untold.and_then(|untold| harm(HarmKind::Untold, format!("{untold:?}"))))
            .or_else(|| told_twice(after, people))
    }

    /// The worst that is left of a story of which something has gone at a moment.
    pub(super) fn left_half_done(self, people: &str, moment: Timestamp) -> Option<Harm> {
        let Self { undisturbed, after, .. } = self;
        // What its end itself has cut off Ebb could not save.
        let cut_off = cut_off_since(after, moment + GOING);
        if cut_off.len() > cut_off_since(undisturbed, moment + GOING).len() {
            return harm(HarmKind::CutOff, format!("{cut_off:?}"));
        }
        let (left, usual) = (half_done(after), half_done(undisturbed));
        let left = left.iter().find(|(what, number)| *number > usual.get(*what).unwrap_or(&0));
        self.dead_letters()
            .or_else(|| self.capacity(false))
            .or_else(|| left.and_then(|left| harm(HarmKind::Lost, format!("{left:?}"))))
            .or_else(|| told_twice(after, people))
    }

    fn dead_letters(self) -> Option<Harm> {
        let dead = dead_letters(self.after);
        let is_more = dead > dead_letters(self.undisturbed);
        if is_more { harm(HarmKind::Lost, format!("{dead} dead letters")) } else { None }
    }

    /// A group that was raised or lowered by more than without the mishap, or by less if that counts.
    fn capacity(self, less_counts: bool) -> Option<Harm> {
        let Self { before, undisturbed, after } = self;
        let mut groups =
            undisturbed.groups.iter().filter(|(name, _)| after.groups.contains_key(*name));
        groups.find_map(|(name, group)| {
            let [before, wanted, is] =
                [before, undisturbed, after].map(|world| capacity(world, name));
            let kind = if (is - before).abs() > (wanted - before).abs() {
                HarmKind::Doubled
            } else {
                HarmKind::Lost
            };
            let max = group.max_size;
            let differs = is != wanted && (less_counts || kind == HarmKind::Doubled);
            if differs {
                let sizes = sizes(after, name).join(", ");
                harm(kind, format!("{name} is {is} of {max}, and not {wanted}: {sizes}"))
            } else {
                None
            }
        })
    }
}

/// How long the end of something takes: what is on an instance that its group takes away is cut off
/// within seconds.
const GOING: Duration = Duration::from_secs(15);

#[expect(clippy::unnecessary_wraps, reason = "what a look for harm returns")]
fn harm(kind: HarmKind, details: String) -> Option<Harm> {
    Some(Harm { kind, details })
}

fn differ<T: PartialEq + fmt::Debug>(are: &T, should_be: &T) -> Option<Harm> {
    if are == should_be {
        return None;
    }
    harm(HarmKind::Lost, format!("{are:?}, and not {should_be:?}"))
}

fn told_twice(world: &World, people: &str) -> Option<Harm> {
    check_notices(world, people).err().and_then(|twice| harm(HarmKind::ToldTwice, twice))
}

/// The tasks that a group has cut off since a moment.
fn cut_off_since(world: &World, moment: Timestamp) -> Vec<&str> {
    let by_group: BTreeSet<_> =
        world.tasks_cut_off_by(EndedBy::Group).into_iter().map(|task| task.id.as_str()).collect();
    let entries = world.history.iter().filter(|entry| entry.time > moment);
    let cut_off = entries.filter_map(|entry| match &entry.happening {
        Happening::TaskCutOff { task, name, .. } => Some((task.as_str(), name.as_str())),
        _ => None,
    });
    cut_off.filter(|(task, _)| by_group.contains(task)).map(|(_, name)| name).collect()
}

/// What is begun and not ended, how often of each.
fn half_done(world: &World) -> BTreeMap<String, usize> {
    let mut numbers = BTreeMap::new();
    for ((status, marks), number) in instances(world) {
        if status != "Active" || !marks.is_empty() {
            numbers.insert(format!("{status} {marks:?}"), number);
        }
    }
    numbers.insert("held by a hook".to_owned(), world.lifecycle_actions.len());
    let timed_out = world.completed_actions.iter().filter(|action| {
        matches!(action.cause, CompletedBy::HeartbeatTimeout | CompletedBy::GlobalTimeout)
    });
    numbers.insert("timed out".to_owned(), timed_out.count());
    numbers
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

/// Each desired capacity that a group was set to, and when.
fn sizes(world: &World, name: &str) -> Vec<String> {
    let sizes = world.history.iter().filter_map(|entry| match &entry.happening {
        Happening::DesiredCapacity { group, desired_capacity } if group == name => {
            Some(format!("{desired_capacity} at {:.0}", entry.time))
        }
        _ => None,
    });
    sizes.collect()
}

/// How many container instances there are in each status, and how many of them with each attribute of
/// ours but the notes of what people were told.
fn instances(world: &World) -> BTreeMap<(String, Vec<&str>), usize> {
    let mut numbers = BTreeMap::new();
    let instances = world.clusters.values().flat_map(|cluster| cluster.instances.values());
    let registered = instances.filter(|instance| instance.status != Status::Inactive);
    // What ended while its agent was away ECS shows for ever, whatever anybody does about it.
    for instance in registered.filter(|instance| !world.ended(&instance.instance_id)) {
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
