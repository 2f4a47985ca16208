//! The demonstration's story: what happens to a cluster, in short lines for people, in the words of
//! whoever did it.
//!
//! What came of it all is for `result`; printing and drawing are left to the program and the page.

use std::collections::{BTreeMap, BTreeSet};

use ebb_page::ShortIds;
use jiff::Timestamp;

use crate::world::autoscaling::{CompletedAction, CompletedBy, LifecycleState};
use crate::world::ecs::Status;
use crate::world::ecs::task::TaskStatus;
use crate::world::spot::NOTICE_PERIOD;
use crate::world::{Entry, Happening, World};

/// Who does what a line tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    /// EC2, Auto Scaling or ECS.
    Aws,
    /// A function of Ebb.
    Ebb,
    /// A task.
    Task,
    /// Whoever operates the cluster.
    Person,
}

impl Actor {
    /// The word for it; nothing for a task, whose name is in the line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Aws => "AWS",
            Self::Ebb => "Ebb",
            Self::Task => "",
            Self::Person => "You",
        }
    }
}

/// A line of the story.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When it happened.
    pub time: Timestamp,
    /// Who did it.
    pub actor: Actor,
    /// What happened.
    pub text: String,
    /// Whether a task was lost.
    pub is_bad: bool,
}

impl From<Line> for ebb_page::run::Line {
    fn from(Line { time, actor, text, is_bad }: Line) -> Self {
        Self { time, actor: actor.word().to_owned(), text, is_bad }
    }
}

/// Tells the history of a world, from the moment that it began.
#[derive(Debug)]
pub struct Story {
    /// `None` for full ids.
    short: Option<ShortIds>,
    /// How many entries of the history have been told.
    told: usize,
    /// The instance of each task that may be told of, as of the last entry that was told.
    tasks: BTreeMap<String, String>,
    /// The instances that drain, and when the last task on each stopped.
    draining: BTreeMap<String, Option<Timestamp>>,
    /// When EC2 takes the instances that it has given notice of.
    ends: BTreeMap<String, Timestamp>,
    gone: BTreeSet<String>,
    /// The services that find no place, so that each is told of once.
    waiting: BTreeSet<String>,
    /// The tasks that had to move, or were lost.
    displaced: BTreeSet<String>,
}

impl Story {
    /// Begins now, with short ids: what is in the history already is not told.
    pub fn begin(world: &World) -> Self {
        let ids: Vec<_> = world
            .clusters
            .values()
            .flat_map(|cluster| cluster.instances.values())
            .map(|instance| instance.instance_id.clone())
            .collect();
        let mut story = Self {
            short: Some(ShortIds::new(ids.iter().map(String::as_str))),
            told: world.history.len(),
            tasks: BTreeMap::new(),
            draining: BTreeMap::new(),
            ends: BTreeMap::new(),
            gone: BTreeSet::new(),
            waiting: BTreeSet::new(),
            displaced: BTreeSet::new(),
        };
        for instance_id in ids {
            for id in tasks_on(world, &instance_id) {
                story.tasks.insert(id, instance_id.clone());
            }
        }
        story
    }

    /// Begins now, with full ids: for whoever is to copy them.
    pub fn with_full_ids(world: &World) -> Self {
        Self { short: None, ..Self::begin(world) }
    }

    /// The lines for what happened since the last call.
    pub fn lines(&mut self, world: &World) -> Vec<Line> {
        let new_entries = &world.history[self.told..];
        self.told = world.history.len();
        new_entries.iter().flat_map(|entry| self.tell(world, entry)).collect()
    }

    /// How many tasks had to move or were lost so far.
    pub fn displaced(&self) -> usize {
        self.displaced.len()
    }

    /// A text with the ids of instances made short.
    pub fn shorten(&self, world: &World, text: &str) -> String {
        let Some(short) = &self.short else { return text.to_owned() };
        let instances = world.clusters.values().flat_map(|cluster| cluster.instances.values());
        short.shorten(text, instances.map(|instance| instance.instance_id.as_str()))
    }

    fn tell(&mut self, world: &World, Entry { time, happening }: &Entry) -> Vec<Line> {
        let line = |actor, text| Line { time: *time, actor, text, is_bad: false };
        match happening {
            Happening::Notice { instance_id, action } => {
                self.ends.insert(instance_id.clone(), *time + NOTICE_PERIOD);
                let text = format!("interruption notice: {} in two minutes", action.as_str());
                vec![line(Actor::Aws, self.about(instance_id, &text))]
            }
            Happening::ContainerInstance { instance_id, status } => {
                let change = self.status(instance_id, *status);
                let change =
                    change.map(|(actor, text)| line(actor, self.about(instance_id, &text)));
                change.into_iter().collect()
            }
            Happening::Task { task, name, instance_id, status } if !is_daemon(world, task) => {
                match status {
                    TaskStatus::Running => {
                        self.waiting.clear();
                        vec![line(Actor::Task, self.about(instance_id, &format!("{name} RUNNING")))]
                    }
                    TaskStatus::Stopped => {
                        self.tasks.remove(task);
                        let stopped = format!("{name} STOPPED");
                        let stopped = line(Actor::Task, self.about(instance_id, &stopped));
                        let empty = self.empty(instance_id, *time);
                        let empty =
                            empty.map(|text| line(Actor::Task, self.about(instance_id, &text)));
                        [stopped].into_iter().chain(empty).collect()
                    }
                    // From here on it holds its place.
                    TaskStatus::Provisioning | TaskStatus::Pending => {
                        self.tasks.insert(task.clone(), instance_id.clone());
                        Vec::new()
                    }
                    // Steps that take moments would only bury the others.
                    TaskStatus::Activating
                    | TaskStatus::Deactivating
                    | TaskStatus::Stopping
                    | TaskStatus::Deprovisioning => Vec::new(),
                }
            }
            Happening::TaskCutOff { task, name, instance_id } if !is_daemon(world, task) => {
                self.tasks.remove(task);
                self.displaced.insert(task.clone());
                let text = self.about(instance_id, &format!("{name} CUT OFF"));
                vec![Line { is_bad: true, ..line(Actor::Task, text) }]
            }
            Happening::InstanceGone { instance_id, .. } => {
                self.gone.insert(instance_id.clone());
                vec![line(Actor::Aws, self.about(instance_id, "gone"))]
            }
            Happening::LifecycleState { instance_id, state } => {
                let text = match (state, self.gone.contains(instance_id)) {
                    (LifecycleState::Terminating, false) => "its group terminates it",
                    (LifecycleState::TerminatingWait, false) => {
                        "its group terminates it; the hook holds it"
                    }
                    (LifecycleState::TerminatingWait, true) => {
                        "its group has noticed; the hook runs"
                    }
                    _ => return Vec::new(),
                };
                vec![line(Actor::Aws, self.about(instance_id, text))]
            }
            Happening::ActionCompleted { action } => vec![self.completed(*time, action)],
            Happening::NotPlaced { service, .. } if self.waiting.insert(service.clone()) => {
                vec![line(Actor::Aws, format!("{service} finds no place for a task yet"))]
            }
            Happening::ServiceEvent { message, .. } => vec![line(Actor::Aws, message.clone())],
            Happening::Task { .. }
            | Happening::TaskCutOff { .. }
            | Happening::NotPlaced { .. }
            | Happening::Attribute { .. }
            | Happening::DesiredCapacity { .. } => Vec::new(),
        }
    }

    /// What to tell of a new status, if anything.
    fn status(&mut self, instance_id: &str, status: Status) -> Option<(Actor, String)> {
        match status {
            Status::Draining => {
                self.draining.insert(instance_id.to_owned(), None);
                let on_it = self.tasks.iter().filter(|(_, on)| *on == instance_id);
                let on_it: Vec<_> = on_it.map(|(task, _)| task.clone()).collect();
                let have_to_move = match on_it.len() {
                    0 => "nothing has to move".to_owned(),
                    1 => "1 task has to move".to_owned(),
                    tasks => format!("{tasks} tasks have to move"),
                };
                self.displaced.extend(on_it);
                Some((Actor::Ebb, format!("DRAINING: {have_to_move}")))
            }
            Status::Active if self.draining.remove(instance_id).is_some() => {
                Some((Actor::Ebb, "ACTIVE again".to_owned()))
            }
            Status::Active => Some((Actor::Aws, "joins the cluster".to_owned())),
            // They follow from an instance that is gone, which has its own line.
            _ => None,
        }
    }

    /// What to tell if that was the last task on an instance that drains.
    fn empty(&mut self, instance_id: &str, time: Timestamp) -> Option<String> {
        if self.tasks.values().any(|on| on == instance_id) {
            return None;
        }
        *self.draining.get_mut(instance_id)? = Some(time);
        let end = self.ends.get(instance_id)?;
        let seconds = end.duration_since(time).as_secs();
        Some(format!("empty, {seconds} s before EC2 takes it"))
    }

    fn completed(&self, time: Timestamp, action: &CompletedAction) -> Line {
        let instance_id = &action.instance_id;
        let (actor, text) = match (action.cause, self.draining.get(instance_id)) {
            (CompletedBy::Caller, Some(Some(empty))) if !self.gone.contains(instance_id) => {
                let seconds = time.duration_since(*empty).as_secs();
                let text = format!("hook completed, {seconds} s after its last task stopped");
                (Actor::Ebb, text)
            }
            (CompletedBy::Caller, _) => (Actor::Ebb, "hook completed".to_owned()),
            (CompletedBy::HeartbeatTimeout | CompletedBy::GlobalTimeout, _) => {
                (Actor::Aws, format!("the hook timed out: {}", action.result.as_str()))
            }
            (CompletedBy::HookDeletion, _) => (Actor::Aws, "the hook was deleted".to_owned()),
        };
        Line { time, actor, text: self.about(instance_id, &text), is_bad: false }
    }

    fn about(&self, instance_id: &str, text: &str) -> String {
        match &self.short {
            Some(short) => format!("{}  {text}", short.of(instance_id)),
            None => format!("{instance_id}  {text}"),
        }
    }
}

/// The tasks on an instance, by id, but for daemon tasks: those leave with it.
fn tasks_on(world: &World, instance_id: &str) -> Vec<String> {
    let Some((cluster, instance)) = world.container_instance(instance_id) else {
        return Vec::new();
    };
    let cluster = &world.clusters[cluster];
    let tasks = cluster.tasks_on(&instance.id).filter(|task| !cluster.is_daemon(task));
    tasks.map(|task| task.id.clone()).collect()
}

fn is_daemon(world: &World, task: &str) -> bool {
    world
        .clusters
        .values()
        .any(|cluster| cluster.tasks.get(task).is_some_and(|task| cluster.is_daemon(task)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::demonstration::scenario;
    use crate::world::spot::Action;

    fn told(story: &mut Story, world: &World, start: Timestamp) -> String {
        let lines = story.lines(world).into_iter().map(|line| {
            let seconds = line.time.duration_since(start).as_secs();
            let bad = if line.is_bad { "!" } else { "" };
            format!("{seconds:>3}  {:3}  {}{bad}\n", line.actor.word(), line.text)
        });
        lines.collect()
    }

    #[test]
    fn an_interruption_that_nobody_handles_is_told_with_every_task_that_was_cut_off() {
        let mut world = scenario::shop("2025-03-04T05:00:00Z".parse().unwrap(), 1);
        let (mut story, start) = (Story::begin(&world), world.now());
        world.interrupt(&scenario::instance_id(9), Action::Terminate);
        world.advance(start + Duration::from_secs(600));

        insta::assert_snapshot!(told(&mut story, &world, start));
        assert_eq!(story.displaced(), 2);
        assert_eq!(story.lines(&world), [], "nothing is told twice");
    }

    #[test]
    fn a_drain_is_told_from_its_start_until_its_instance_is_empty() {
        let mut world = scenario::shop("2025-03-04T05:00:00Z".parse().unwrap(), 1);
        let (mut story, start) = (Story::begin(&world), world.now());
        let instance_id = scenario::instance_id(9);
        world.interrupt(&instance_id, Action::Terminate);
        let arn = world.container_instance(&instance_id).unwrap().1.id.clone();
        world.set_status(scenario::CLUSTER, &arn, Status::Draining);
        world.advance(start + Duration::from_secs(130));

        insta::assert_snapshot!(told(&mut story, &world, start));
    }
}
