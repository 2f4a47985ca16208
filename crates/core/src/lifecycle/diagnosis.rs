//! Why a drain does not end: which tasks hold the container instance, and what keeps each of them
//! there.
//!
//! A diagnosis for people, from the facts of one moment. Nothing is decided by it, and reading the
//! facts is left to the `lifecycle-drainer`.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;

use crate::ecs::{Room, Task};
use crate::ids::TaskArn;
use crate::lifecycle::notification::Diagnosis;
use crate::words;

/// A service, as far as it matters for leaving an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// Whether it is a daemon service.
    pub daemon: bool,
    /// `minimumHealthyPercent`.
    pub minimum_healthy_percent: i32,
    /// `maximumPercent`.
    pub maximum_percent: i32,
    /// What ECS said last, since the drain began, about a task of it that found no place: see
    /// [`placement_failure`].
    pub unplaced: Option<String>,
}

impl Service {
    /// Whether it may neither stop a task before there is another nor start one before a task has
    /// stopped.
    fn cannot_replace(&self) -> bool {
        self.minimum_healthy_percent >= 100 && self.maximum_percent <= 100
    }
}

/// What keeps a task from being placed, by the message of a service event: `… is already using a
/// port required by your task`, `… has insufficient memory available`, `… is missing an attribute
/// required by your task`. `None` if the event is about something else. Source: ECS Developer
/// Guide, service-event-messages-list.
pub fn placement_failure(message: &str) -> Option<String> {
    let reason = message.split_once("was unable to place a task because ")?.1;
    // ECS ends the message with a pointer to its troubleshooting page, which would repeat on every
    // line.
    let reason = reason.split(" For more information").next().unwrap_or(reason);
    Some(reason.trim_end_matches('.').to_owned())
}

/// The facts about a drain that does not end.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DrainFacts {
    /// The tasks that hold the instance.
    pub tasks: Vec<Task>,
    /// Their services.
    pub services: Vec<Service>,
    /// Whether the agent of the container instance is connected.
    pub agent_connected: bool,
    /// What is free on the ACTIVE container instances of the cluster.
    pub rooms: Vec<Room>,
    /// Until when tasks are protected from scale-in.
    pub protected_until: BTreeMap<TaskArn, Timestamp>,
}

/// What keeps a task on its instance.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum HoldReason {
    /// The agent does not hear that it is to stop. Often that passes.
    AgentDisconnected,
    /// It has been told to stop and is at it: its target deregisters, or its containers take their
    /// time.
    Stopping,
    /// It is a standalone task: DRAINING leaves it alone.
    Standalone,
    /// Its service may stop no task before there is another, and start none before one has stopped.
    CannotBeReplaced,
    /// It is protected from scale-in. AWS does not say whether DRAINING honours that.
    Protected {
        /// Until when.
        until: Timestamp,
    },
    /// ECS found no place for its replacement, and says why: CPU, memory, a port, a GPU, an
    /// attribute.
    Unplaced {
        /// What is in the way, in ECS's words.
        obstacle: String,
    },
    /// No other container instance has room for its replacement.
    NoRoom {
        /// What it needs.
        needed: Room,
    },
    /// None of these: its replacement may be starting.
    Unknown,
}

impl fmt::Display for HoldReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AgentDisconnected => f.write_str("the agent is disconnected and stops nothing"),
            Self::Stopping => f.write_str("told to stop, and not stopped yet"),
            Self::Standalone => f.write_str("DRAINING leaves standalone tasks alone"),
            Self::CannotBeReplaced => f.write_str(
                "minimumHealthyPercent 100 and maximumPercent 100 allow neither to stop a task first \
                 nor to start its replacement first",
            ),
            Self::Protected { until } => write!(f, "protected from scale-in until {until}"),
            Self::Unplaced { obstacle } => {
                write!(f, "ECS finds no place for a replacement: {obstacle}")
            }
            Self::NoRoom { needed: Room { cpu, memory_mib } } => write!(
                f,
                "no ACTIVE container instance has {cpu} CPU units and {memory_mib} MiB free for a \
                 replacement"
            ),
            Self::Unknown => {
                f.write_str("a replacement is starting, or ECS has not said what is in its way")
            }
        }
    }
}

impl HoldReason {
    /// What people may do about it.
    fn remedy(&self) -> &'static str {
        match self {
            Self::AgentDisconnected => {
                "Restart the ECS agent on the instance if it does not connect again by itself"
            }
            Self::Stopping => {
                "Wait, or shorten `stopTimeout` or the deregistration delay of the target group"
            }
            Self::Standalone => {
                "Stop the standalone tasks (`aws ecs stop-task`), or wait for their end"
            }
            Self::CannotBeReplaced => {
                "Set the service's maximumPercent above 100, or minimumHealthyPercent below 100"
            }
            Self::Protected { .. } => {
                "End the protection (`aws ecs update-task-protection`), or wait for its end"
            }
            Self::Unplaced { .. } => "Give the cluster what ECS finds missing",
            Self::NoRoom { .. } => "Add container instances to the cluster",
            Self::Unknown => "See the events of the service",
        }
    }
}

/// Says what holds the instance, one line per service and reason, with the number of tasks; and what
/// may be done about it.
pub fn diagnose(facts: &DrainFacts) -> Diagnosis {
    // A map keeps the lines in one order, so that two reports on the same facts read alike.
    let mut counts = BTreeMap::<(Option<&str>, HoldReason), usize>::new();
    for task in facts.tasks.iter().filter(|task| !task.stopped) {
        *counts.entry((task.service.as_deref(), hold_reason(task, facts))).or_default() += 1;
    }
    let mut diagnosis = Diagnosis::default();
    for ((service, reason), count) in counts {
        diagnosis.reasons.push(match service {
            Some(service) => format!("{} of {service}: {reason}", words::count(count, "task")),
            None => format!("{}: {reason}", words::count(count, "standalone task")),
        });
        let remedy = reason.remedy().to_owned();
        if !diagnosis.remedies.contains(&remedy) {
            diagnosis.remedies.push(remedy);
        }
    }
    diagnosis
}

/// The first reason that applies. Each hides those below it: what a task's service allows matters
/// only if the task can be stopped at all, and a place for a replacement only if there may be one.
fn hold_reason(task: &Task, facts: &DrainFacts) -> HoldReason {
    // A disconnected agent stops no task, so that nothing else about the task matters yet.
    if !facts.agent_connected {
        return HoldReason::AgentDisconnected;
    }
    if task.told_to_stop {
        return HoldReason::Stopping;
    }
    let Some(name) = &task.service else { return HoldReason::Standalone };
    let service = facts.services.iter().find(|service| service.name == *name);
    // Known for certain from the settings, and so named before protection, of which AWS does not
    // say whether DRAINING honours it.
    if service.is_some_and(Service::cannot_replace) {
        return HoldReason::CannotBeReplaced;
    }
    if let Some(&until) = facts.protected_until.get(&task.arn) {
        return HoldReason::Protected { until };
    }
    // ECS's own words come before our arithmetic: they know ports, GPUs and attributes, which free
    // room does not show.
    if let Some(obstacle) = service.and_then(|service| service.unplaced.clone()) {
        return HoldReason::Unplaced { obstacle };
    }
    match task.needs {
        Some(needed) if !facts.rooms.iter().any(|room| room.fits(needed)) => {
            HoldReason::NoRoom { needed }
        }
        _ => HoldReason::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(service: Option<&str>) -> Task {
        Task {
            arn: TaskArn::new("arn-1"),
            service: service.map(str::to_owned),
            told_to_stop: false,
            stopping_at: None,
            deactivating: false,
            stopped: false,
            stopped_at: None,
            needs: Some(Room { cpu: 512, memory_mib: 1_024 }),
        }
    }

    fn service(minimum_healthy_percent: i32, maximum_percent: i32) -> Service {
        Service {
            name: "web".to_owned(),
            daemon: false,
            minimum_healthy_percent,
            maximum_percent,
            unplaced: None,
        }
    }

    fn facts() -> DrainFacts {
        DrainFacts {
            tasks: vec![task(Some("web"))],
            services: vec![service(100, 200)],
            agent_connected: true,
            rooms: vec![Room { cpu: 512, memory_mib: 1_024 }],
            protected_until: BTreeMap::new(),
        }
    }

    const PORT_TAKEN: &str = "(service web) was unable to place a task because no container \
        instance met all of its requirements. The closest matching (container-instance 1234) is \
        already using a port required by your task. For more information, see the Troubleshooting \
        section of the Amazon ECS Developer Guide.";

    #[test]
    fn a_service_event_says_why_a_task_found_no_place() {
        let obstacle = "no container instance met all of its requirements. The closest matching \
            (container-instance 1234) is already using a port required by your task";
        assert_eq!(placement_failure(PORT_TAKEN).as_deref(), Some(obstacle));
        assert_eq!(placement_failure("(service web) has reached a steady state."), None);
    }

    #[test]
    fn each_reason_has_its_own_line() {
        let stopping = Task { told_to_stop: true, ..task(Some("web")) };
        let protected =
            BTreeMap::from([(TaskArn::new("arn-1"), "2025-03-04T06:00:00Z".parse().unwrap())]);
        let tight =
            vec![Room { cpu: 511, memory_mib: 4_096 }, Room { cpu: 4_096, memory_mib: 1_023 }];
        let cases = [
            DrainFacts { agent_connected: false, ..facts() },
            DrainFacts { tasks: vec![stopping], ..facts() },
            DrainFacts { tasks: vec![task(None), task(None)], ..facts() },
            DrainFacts { services: vec![service(100, 100)], ..facts() },
            DrainFacts { protected_until: protected, ..facts() },
            DrainFacts {
                services: vec![Service {
                    unplaced: placement_failure(PORT_TAKEN),
                    ..service(100, 200)
                }],
                ..facts()
            },
            DrainFacts { rooms: tight, ..facts() },
            facts(),
        ];
        let diagnoses: Vec<_> = cases.iter().map(diagnose).collect();
        let remedies: Vec<_> = diagnoses.iter().flat_map(|it| it.remedies.clone()).collect();
        insta::assert_snapshot!("remedies", remedies.join("\n"));
        let lines: Vec<_> = diagnoses.into_iter().flat_map(|it| it.reasons).collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
        1 task of web: the agent is disconnected and stops nothing
        1 task of web: told to stop, and not stopped yet
        2 standalone tasks: DRAINING leaves standalone tasks alone
        1 task of web: minimumHealthyPercent 100 and maximumPercent 100 allow neither to stop a task first nor to start its replacement first
        1 task of web: protected from scale-in until 2025-03-04T06:00:00Z
        1 task of web: ECS finds no place for a replacement: no container instance met all of its requirements. The closest matching (container-instance 1234) is already using a port required by your task
        1 task of web: no ACTIVE container instance has 512 CPU units and 1024 MiB free for a replacement
        1 task of web: a replacement is starting, or ECS has not said what is in its way
        ");
    }

    #[test]
    fn tasks_of_one_service_and_reason_share_a_line_and_stopped_ones_have_none() {
        let stopped = Task { stopped: true, ..task(None) };
        let tasks = vec![task(Some("web")), task(None), stopped, task(Some("web"))];
        let diagnosis = diagnose(&DrainFacts { tasks, ..facts() });
        assert_eq!((diagnosis.reasons.len(), diagnosis.remedies.len()), (2, 2));
    }
}
