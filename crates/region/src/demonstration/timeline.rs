//! The demonstration: what happens to the shop's cluster is told line by line while it happens, and
//! summed up at the end: each instance's way, and each task's.

use std::collections::BTreeMap;
use std::fmt::Write;

use jiff::Timestamp;

use crate::world::ecs::Status;
use crate::world::ecs::task::TaskStatus;
use crate::world::{Entry, Happening, World};

/// Prints the history of a world line by line, from the moment that it began.
#[derive(Debug)]
pub struct Timeline {
    start: Timestamp,
    /// How many entries of the history have been printed.
    printed: usize,
}

impl Timeline {
    /// Begins now: what is in the history already is not printed.
    pub fn begin(world: &World) -> Self {
        Self { start: world.now(), printed: world.history.len() }
    }

    /// The lines for what happened since the last call.
    pub fn lines(&mut self, world: &World) -> Vec<String> {
        let new_entries = &world.history[self.printed..];
        self.printed = world.history.len();
        new_entries.iter().filter_map(|entry| self.line(entry)).collect()
    }

    fn line(&self, entry: &Entry) -> Option<String> {
        let text = match &entry.happening {
            Happening::Notice { instance_id, action } => {
                format!(
                    "{instance_id}  Spot interruption notice: {} in two minutes",
                    action.as_str()
                )
            }
            Happening::ContainerInstance { instance_id, status } => {
                format!("{instance_id}  is {}", status.as_str())
            }
            Happening::Attribute { instance_id, name, value: Some(value) } => {
                format!("{instance_id}  is marked {name} = {value}")
            }
            Happening::Attribute { instance_id, name, value: None } => {
                format!("{instance_id}  is no longer marked {name}")
            }
            Happening::InstanceGone { instance_id, .. } => format!("{instance_id}  is taken away"),
            Happening::Task { name, instance_id, status, .. } => match status {
                TaskStatus::Running
                | TaskStatus::Deactivating
                | TaskStatus::Stopping
                | TaskStatus::Stopped => {
                    format!("{instance_id}    task {name} is {}", status.as_str())
                }
                // Steps that take moments or say nothing to a reader would only bury the others.
                TaskStatus::Provisioning
                | TaskStatus::Pending
                | TaskStatus::Activating
                | TaskStatus::Deprovisioning => return None,
            },
            Happening::TaskCutOff { name, instance_id, .. } => {
                format!("{instance_id}    task {name} is CUT OFF")
            }
            Happening::NotPlaced { service, .. } => {
                format!("service {service} finds no place for a task")
            }
            Happening::ServiceEvent { message, .. } => message.clone(),
            Happening::DesiredCapacity { group, desired_capacity } => {
                format!("group {group} now wants {desired_capacity} instances")
            }
            Happening::LifecycleState { instance_id, state } => {
                format!("{instance_id}  is {}", state.as_str())
            }
            Happening::ActionCompleted { action } => {
                format!(
                    "{}  hook {} says {}",
                    action.instance_id,
                    action.hook,
                    action.result.as_str()
                )
            }
        };
        Some(format!("{}  {text}", self.clock(entry.time)))
    }

    /// What became of the container instances and tasks that did not stay as they were, and how
    /// many tasks were cut off.
    pub fn summary(&self, world: &World) -> String {
        let mut summary = String::from("Container instances\n");
        for (instance_id, steps) in self.instance_steps(world) {
            let _ = writeln!(summary, "  {instance_id}  {}", steps.join(" -> "));
        }
        summary.push_str("Tasks\n");
        for line in self.task_lines(world) {
            let _ = writeln!(summary, "  {line}");
        }
        let _ = writeln!(
            summary,
            "{} tasks were cut off, daemon tasks not counted.",
            world.tasks_cut_off().len()
        );
        summary
    }

    fn instance_steps<'a>(&self, world: &'a World) -> BTreeMap<&'a str, Vec<String>> {
        let mut steps_by_instance = BTreeMap::<_, Vec<_>>::new();
        for Entry { time, happening } in self.since_start(world) {
            let (instance_id, step) = match happening {
                // An INACTIVE container instance follows from an instance that is gone, which has
                // its own step.
                Happening::ContainerInstance { status: Status::Inactive, .. } => continue,
                Happening::ContainerInstance { instance_id, status } => {
                    (instance_id, status.as_str())
                }
                Happening::InstanceGone { instance_id, .. } => (instance_id, "gone"),
                _ => continue,
            };
            let steps = steps_by_instance
                .entry(instance_id.as_str())
                .or_insert_with(|| vec!["ACTIVE".to_owned()]);
            steps.push(format!("{step} at {}", self.clock(*time)));
        }
        steps_by_instance
    }

    /// One line per task that ended, with the task that its service started in its place, in the
    /// order of starting.
    fn task_lines(&self, world: &World) -> Vec<String> {
        let mut ended = BTreeMap::<&str, Vec<String>>::new();
        let mut started = BTreeMap::<&str, Vec<String>>::new();
        for Entry { time, happening } in self.since_start(world) {
            let clock_time = self.clock(*time);
            match happening {
                Happening::Task { name, instance_id, status: TaskStatus::Running, .. } => {
                    started
                        .entry(service(name))
                        .or_default()
                        .push(format!("{name} on {instance_id} from {clock_time}"));
                }
                Happening::Task { name, instance_id, status: TaskStatus::Stopped, .. } => {
                    ended
                        .entry(service(name))
                        .or_default()
                        .push(format!("{name} on {instance_id} until {clock_time}"));
                }
                Happening::TaskCutOff { name, instance_id, .. } => {
                    ended
                        .entry(service(name))
                        .or_default()
                        .push(format!("{name} on {instance_id} CUT OFF at {clock_time}"));
                }
                _ => {}
            }
        }
        let mut lines = Vec::new();
        for (service, ended) in ended {
            // Nothing ties a replacement to the task that it replaces, so they are paired in the
            // order of the history.
            let mut started = started.remove(service).unwrap_or_default().into_iter();
            lines.extend(ended.into_iter().map(|ended| match started.next() {
                Some(started) => format!("{ended} -> {started}"),
                None => format!("{ended}, not replaced"),
            }));
        }
        lines
    }

    fn since_start<'a>(&self, world: &'a World) -> impl Iterator<Item = &'a Entry> {
        let start = self.start;
        world
            .history
            .iter()
            .skip_while(move |entry| entry.time < start)
            .filter(move |entry| entry.time > start)
    }

    /// Minutes and seconds since the beginning.
    fn clock(&self, time: Timestamp) -> String {
        let seconds = time.duration_since(self.start).as_secs();
        format!("{:02}:{:02}", seconds / 60, seconds % 60)
    }
}

/// The service of a task, by the task's name.
fn service(name: &str) -> &str {
    name.rsplit_once('-').map_or(name, |(service, _)| service)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::demonstration::scenario;
    use crate::world::spot::Action;

    #[test]
    fn an_interruption_that_nobody_handles_is_told_with_every_task_that_was_cut_off() {
        let mut world = scenario::shop("2025-03-04T05:00:00Z".parse().unwrap(), 1);
        let mut timeline = Timeline::begin(&world);
        world.interrupt(&scenario::instance_id(9), Action::Terminate);
        world.advance(world.now() + Duration::from_secs(600));

        insta::assert_snapshot!(timeline.lines(&world).join("\n"), @r"
        00:00  i-0a1b2c3d4e5f60009  Spot interruption notice: terminate in two minutes
        02:00  i-0a1b2c3d4e5f60009  is taken away
        02:00  i-0a1b2c3d4e5f60009    task web-11 is CUT OFF
        02:00  i-0a1b2c3d4e5f60009    task logs-6 is CUT OFF
        02:00  i-0a1b2c3d4e5f60009    task worker-1 is CUT OFF
        02:19  i-0a1b2c3d4e5f60009  is Terminating
        03:26  i-0a1b2c3d4e5f60009  is INACTIVE
        03:37  i-0a1b2c3d4e5f60008    task worker-9 is RUNNING
        03:38  i-0a1b2c3d4e5f60010    task web-13 is RUNNING
        ");
        insta::assert_snapshot!(timeline.summary(&world), @r"
        Container instances
          i-0a1b2c3d4e5f60009  ACTIVE -> gone at 02:00
        Tasks
          logs-6 on i-0a1b2c3d4e5f60009 CUT OFF at 02:00, not replaced
          web-11 on i-0a1b2c3d4e5f60009 CUT OFF at 02:00 -> web-13 on i-0a1b2c3d4e5f60010 from 03:38
          worker-1 on i-0a1b2c3d4e5f60009 CUT OFF at 02:00 -> worker-9 on i-0a1b2c3d4e5f60008 from 03:37
        2 tasks were cut off, daemon tasks not counted.
        ");
        assert_eq!(timeline.lines(&world), [""; 0], "nothing is told twice");
    }
}
