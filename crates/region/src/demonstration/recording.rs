//! A recording of a world, for the page: what its instances, their tasks and hooks went through from
//! one moment to another.
//!
//! The history says what changed, so what was there at the beginning is kept beside it.

use std::collections::BTreeMap;

use ebb_page::run::{Act, Call, Hold, Instance, InstanceState, Line, Run, Task, TaskState, Text};
use jiff::Timestamp;

use crate::demonstration::story::Story;
use crate::world::autoscaling::LifecycleState;
use crate::world::ecs::Status;
use crate::world::ecs::task::TaskStatus;
use crate::world::{Entry, Happening, World};

/// The run that turned a world into what it is `after`, told and drawn.
pub fn run_between(before: &World, after: &World, title: String) -> Run {
    let mut recording = Recording::begin(before);
    recording.story = Story::begin(before).lines(after).into_iter().map(Line::from).collect();
    let cut_off = after.tasks_cut_off().len();
    recording.run(after, title, cut_off_sentence(cut_off), cut_off > 0)
}

/// How many tasks were cut off, in a sentence.
pub fn cut_off_sentence(tasks: usize) -> String {
    match tasks {
        1 => "1 task was cut off.".to_owned(),
        _ => format!("{tasks} tasks were cut off."),
    }
}

/// What is known of a run so far.
#[derive(Debug, Clone)]
pub struct Recording {
    start: Timestamp,
    /// What was in the history, and how many calls had been made, by then.
    entries: usize,
    calls: usize,
    instances: Vec<Instance>,
    tasks: Vec<Task>,
    /// The tasks by id, as their position in `tasks`.
    positions: BTreeMap<String, usize>,
    /// Its parts, to be added as they begin.
    pub acts: Vec<Act>,
    /// The lines of its story, to be added as they are told.
    pub story: Vec<Line>,
    /// Plans and notices, to be added as they come.
    pub texts: Vec<Text>,
}

impl Recording {
    /// Begins now, with every cluster.
    pub fn begin(world: &World) -> Self {
        Self::of_clusters(world, |_| true)
    }

    /// Begins now, with one cluster.
    pub fn of_cluster(world: &World, cluster: &str) -> Self {
        Self::of_clusters(world, |name| name == cluster)
    }

    fn of_clusters(world: &World, is_recorded: impl Fn(&str) -> bool) -> Self {
        let mut recording = Self {
            start: world.now(),
            entries: world.history.len(),
            calls: world.calls.len(),
            instances: Vec::new(),
            tasks: Vec::new(),
            positions: BTreeMap::new(),
            acts: Vec::new(),
            story: Vec::new(),
            texts: Vec::new(),
        };
        let recorded = world.clusters.iter().filter(|(name, _)| is_recorded(name));
        for (_, cluster) in recorded {
            let registered =
                cluster.instances.values().filter(|instance| instance.status != Status::Inactive);
            for instance in registered {
                let state = match instance.status {
                    Status::Draining => InstanceState::Draining,
                    _ => InstanceState::Active,
                };
                // Several clusters may have it.
                if recording.instance(&instance.instance_id).is_none() {
                    recording.add_instance(world, &instance.instance_id, state, world.now());
                }
                for task in cluster.tasks_on(&instance.id) {
                    let stage = (world.now(), task_state(task.status));
                    let id = &instance.instance_id;
                    recording.add_task(world, &task.id, &task.name, id, stage);
                }
            }
        }
        recording.instances.sort_by(|a, b| a.id.cmp(&b.id));
        recording
    }

    /// The run as it is now, with a title and what came of it.
    pub fn run(&self, world: &World, title: String, result: String, is_bad: bool) -> Run {
        let mut recording = self.clone();
        let mut holds = Holds::default();
        for Entry { time, happening } in &world.history[self.entries..] {
            holds.take(*time, happening);
            recording.take(world, *time, happening);
        }
        let moves = recording.moves(world);
        let calls = world.calls[self.calls..].iter().map(|call| Call {
            time: call.time,
            operation: call.operation.clone(),
            error: call.error.clone(),
        });
        Run {
            title,
            result,
            is_bad,
            start: self.start,
            end: world.now(),
            acts: recording.acts,
            instances: recording.instances,
            tasks: recording.tasks,
            moves,
            holds: holds.into_holds(world.now()),
            calls: calls.collect(),
            story: recording.story,
            texts: recording.texts,
        }
    }

    fn take(&mut self, world: &World, time: Timestamp, happening: &Happening) {
        match happening {
            Happening::Notice { instance_id, .. } => {
                if let Some(instance) = self.instance(instance_id) {
                    instance.notices.push(time);
                }
            }
            Happening::ContainerInstance { instance_id, status } => {
                let state = match status {
                    Status::Active => InstanceState::Active,
                    Status::Draining => InstanceState::Draining,
                    // They follow from an instance that is gone.
                    _ => return,
                };
                self.set_instance(world, instance_id, state, time);
            }
            Happening::InstanceGone { instance_id, .. } => {
                self.set_instance(world, instance_id, InstanceState::Gone, time);
                self.end_what_starts(instance_id, time);
            }
            Happening::Task { task, name, instance_id, status } => {
                let stage = (time, task_state(*status));
                match self.positions.get(task) {
                    // ECS has more words for its steps than are told apart here.
                    Some(&position)
                        if self.tasks[position]
                            .stages
                            .last()
                            .is_some_and(|(_, state)| *state == stage.1) => {}
                    Some(&position) => self.tasks[position].stages.push(stage),
                    None => self.add_task(world, task, name, instance_id, stage),
                }
            }
            Happening::TaskCutOff { task, .. } => {
                if let Some(&position) = self.positions.get(task) {
                    self.tasks[position].stages.push((time, TaskState::CutOff));
                }
            }
            Happening::Attribute { .. }
            | Happening::NotPlaced { .. }
            | Happening::ServiceEvent { .. }
            | Happening::DesiredCapacity { .. }
            | Happening::LifecycleState { .. }
            | Happening::ActionCompleted { .. } => {}
        }
    }

    /// A task that was on its way to an instance when that went never comes to run, nor does ECS
    /// say so at once.
    fn end_what_starts(&mut self, instance_id: &str, time: Timestamp) {
        for task in self.tasks.iter_mut().filter(|task| task.instance_id == instance_id) {
            if task.stages.last().is_some_and(|(_, state)| *state == TaskState::Starting) {
                task.stages.push((time, TaskState::Stopped));
            }
        }
    }

    fn instance(&mut self, instance_id: &str) -> Option<&mut Instance> {
        self.instances.iter_mut().find(|instance| instance.id == instance_id)
    }

    fn set_instance(
        &mut self,
        world: &World,
        instance_id: &str,
        state: InstanceState,
        time: Timestamp,
    ) {
        match self.instance(instance_id) {
            Some(instance) => instance.stages.push((time, state)),
            None => self.add_instance(world, instance_id, state, time),
        }
    }

    fn add_instance(&mut self, world: &World, id: &str, state: InstanceState, time: Timestamp) {
        let group = world.group_of(id).map(|(name, _)| name.to_owned());
        let about: Vec<String> = group.into_iter().chain([world.zone_of(id)]).collect();
        self.instances.push(Instance {
            id: id.to_owned(),
            about: about.join(", "),
            stages: vec![(time, state)],
            notices: Vec::new(),
        });
    }

    fn add_task(
        &mut self,
        world: &World,
        id: &str,
        name: &str,
        instance_id: &str,
        stage: (Timestamp, TaskState),
    ) {
        let is_daemon = world
            .clusters
            .values()
            .any(|cluster| cluster.tasks.get(id).is_some_and(|task| cluster.is_daemon(task)));
        self.positions.insert(id.to_owned(), self.tasks.len());
        self.tasks.push(Task {
            name: name.to_owned(),
            instance_id: instance_id.to_owned(),
            is_daemon,
            stages: vec![stage],
        });
    }

    /// The tasks that left, each with the one that its service started in its place. Nothing ties
    /// the two together: the first that left is paired with the first that was started after that
    /// its instance began to drain, or was lost.
    fn moves(&self, world: &World) -> Vec<(usize, usize)> {
        let services: BTreeMap<usize, &str> = world
            .clusters
            .values()
            .flat_map(|cluster| cluster.tasks.values())
            .filter_map(|task| Some((*self.positions.get(&task.id)?, task.service.as_deref()?)))
            .collect();
        let mut started: Vec<(Timestamp, usize)> = self
            .tasks
            .iter()
            .enumerate()
            .filter_map(|(position, task)| Some((task.stages.first()?.0, position)))
            .filter(|(time, position)| *time > self.start && !self.tasks[*position].is_daemon)
            .collect();
        started.sort();
        let mut left: Vec<(Timestamp, usize)> = self
            .tasks
            .iter()
            .enumerate()
            .filter(|(_, task)| !task.is_daemon && has_left(task))
            .filter_map(|(position, task)| Some((self.had_to_leave(task)?, position)))
            .collect();
        left.sort();
        let pairs = left.into_iter().filter_map(|(since, old)| {
            let service = services.get(&old)?;
            let replaces = |(time, new): &(Timestamp, usize)| {
                *time >= since && services.get(new) == Some(service)
            };
            let (_, new) = started.remove(started.iter().position(replaces)?);
            Some((old, new))
        });
        pairs.collect()
    }

    /// Since when a task had to leave: its instance's last drain or end before the task's own.
    fn had_to_leave(&self, task: &Task) -> Option<Timestamp> {
        let end = task.stages.last()?.0;
        let instance = self.instances.iter().find(|instance| instance.id == task.instance_id)?;
        let leaving = instance.stages.iter().filter(|(_, state)| *state != InstanceState::Active);
        leaving.map(|(time, _)| *time).rfind(|time| *time <= end)
    }
}

fn has_left(task: &Task) -> bool {
    let last = task.stages.last();
    last.is_some_and(|(_, state)| matches!(state, TaskState::Stopped | TaskState::CutOff))
}

fn task_state(status: TaskStatus) -> TaskState {
    match status {
        TaskStatus::Provisioning | TaskStatus::Pending | TaskStatus::Activating => {
            TaskState::Starting
        }
        TaskStatus::Running => TaskState::Running,
        TaskStatus::Deactivating | TaskStatus::Stopping | TaskStatus::Deprovisioning => {
            TaskState::Stopping
        }
        TaskStatus::Stopped => TaskState::Stopped,
    }
}

/// The instances that hooks hold, and those that they held.
#[derive(Debug, Default)]
struct Holds {
    open: BTreeMap<String, Timestamp>,
    ended: Vec<Hold>,
}

impl Holds {
    fn take(&mut self, time: Timestamp, happening: &Happening) {
        match happening {
            Happening::LifecycleState { instance_id, state: LifecycleState::TerminatingWait } => {
                self.open.insert(instance_id.clone(), time);
            }
            Happening::ActionCompleted { action } => {
                let Some(from) = self.open.remove(&action.instance_id) else { return };
                let about = format!(
                    "hook {} held it, and ended with {}",
                    action.hook,
                    action.result.as_str()
                );
                let instance_id = action.instance_id.clone();
                self.ended.push(Hold { instance_id, from, until: time, about });
            }
            _ => {}
        }
    }

    /// Those that still hold do so until the end.
    fn into_holds(mut self, end: Timestamp) -> Vec<Hold> {
        let open = self.open.into_iter().map(|(instance_id, from)| Hold {
            instance_id,
            from,
            until: end,
            about: "a hook holds it".to_owned(),
        });
        self.ended.extend(open);
        self.ended
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::demonstration::scenario;
    use crate::world::ecs::NewInstance;
    use crate::world::spot::Action;

    #[test]
    fn a_run_shows_what_was_cut_off_and_what_took_its_place() {
        let mut world = scenario::shop("2025-03-04T05:00:00Z".parse().unwrap(), 1);
        world.add_instance("depot", NewInstance::new(scenario::instance_id(1)));
        let recording = Recording::begin(&world);
        world.advance(world.now() + Duration::from_secs(1));
        world.interrupt(&scenario::instance_id(9), Action::Terminate);
        world.advance(world.now() + Duration::from_secs(600));
        let run = recording.run(&world, "shop".to_owned(), "lost".to_owned(), true);

        let ended = run.instances.iter().find(|instance| instance.id == scenario::instance_id(9));
        let states: Vec<_> = ended.unwrap().stages.iter().map(|(_, state)| *state).collect();
        assert_eq!(states, [InstanceState::Active, InstanceState::Gone]);
        let names = |(old, new): &(usize, usize)| {
            (run.tasks[*old].name.as_str(), run.tasks[*new].name.as_str())
        };
        let mut moves: Vec<_> = run.moves.iter().map(names).collect();
        moves.sort_unstable();
        assert_eq!(moves, [("web-11", "web-13"), ("worker-1", "worker-9")]);
        assert_eq!(run.instances.len(), 12, "one is in two clusters");
    }

    #[test]
    fn one_task_was_and_others_were_cut_off() {
        let sentences = [0, 1, 2].map(cut_off_sentence);
        let expected = ["0 tasks were cut off.", "1 task was cut off.", "2 tasks were cut off."];
        assert_eq!(sentences, expected);
    }
}
