//! Why an instance goes or stays: a code for machines, typed facts, and a sentence for people.
//!
//! The planner knows no settings; the facts are its policy's. The sentences alone name the setting
//! that a limit comes from, as the operator knows it, so that a reader learns what to change.

use std::fmt;

use jiff::{SignedDuration, Timestamp};

use crate::auto_scaling::LifecycleState;
use crate::ecs::ContainerInstanceStatus;
use crate::hold::Hold;
use crate::ids::GroupName;
use crate::inventory::{KEEP_ATTRIBUTE, KEEP_TAG};
use crate::words::{count, percent, seconds};

/// Why an instance can go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RemoveReason {
    /// Nothing but daemon tasks is on it.
    Empty,
    /// Its tasks find a place wherever ECS puts the other displaced tasks.
    Certified {
        /// How many tasks move.
        tasks: usize,
    },
    /// Its tasks found a place in every replay of the services' own placement strategies.
    Replayed {
        /// How many tasks move.
        tasks: usize,
    },
}

impl RemoveReason {
    /// Whether every task is sure to find a place, as long as the load does not grow.
    pub fn is_certain(&self) -> bool {
        matches!(self, Self::Empty | Self::Certified { .. })
    }

    /// How many tasks move.
    pub fn tasks(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::Certified { tasks } | Self::Replayed { tasks } => *tasks,
        }
    }

    /// The word for it in the answer.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Certified { .. } => "certified",
            Self::Replayed { .. } => "replayed",
        }
    }
}

impl fmt::Display for RemoveReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("no service runs a task on it"),
            Self::Certified { tasks } => write!(
                f,
                "its {} elsewhere, wherever ECS places the tasks that move",
                tasks_fit(*tasks)
            ),
            Self::Replayed { tasks } => write!(
                f,
                "its {} elsewhere in every replay of the services' placement strategies",
                tasks_fit(*tasks)
            ),
        }
    }
}

/// "task fits", "2 tasks fit".
fn tasks_fit(tasks: usize) -> String {
    if tasks == 1 { "task fits".to_owned() } else { format!("{tasks} tasks fit") }
}

/// Why an instance stays. The order is that of the rules: the first that applies is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeepReason {
    /// What ECS and Auto Scaling say about it cannot be true. The text says what.
    Contradiction(String),
    /// It drains already, whoever began that.
    Draining,
    /// It is in another status than ACTIVE.
    NotActive(ContainerInstanceStatus),
    /// Its agent is not connected.
    AgentDisconnected,
    /// ECS launched it and takes it away itself.
    EcsManaged,
    /// It is in no Auto Scaling group: nothing would take it away.
    NoGroup,
    /// Its group is not among those that may be shrunk.
    GroupNotAllowed(GroupName),
    /// A capacity provider's managed scaling decides the size of its group.
    ManagedScaling(GroupName),
    /// Its group may not be shrunk just now. The text says why.
    GroupUnavailable(GroupName, String),
    /// Its group holds it in another state than `InService`.
    NotInService(LifecycleState),
    /// Its group holds it for unhealthy.
    Unhealthy,
    /// Its group protects it from scale-in.
    ProtectedFromScaleIn,
    /// Somebody holds its cluster, its group or itself.
    Held(Hold),
    /// It, or its group, is marked to be kept.
    Keep,
    /// An AWS service owns its group. The text names that service.
    GroupOwned(GroupName, String),
    /// An earlier sweep drained it, and ECS did not take it.
    NotTaken {
        /// When it was first seen without tasks.
        emptied_at: Timestamp,
    },
    /// It registered too short a time ago.
    TooYoung {
        /// The age from which instances may go.
        min_instance_age: SignedDuration,
    },
    /// It could not go for long enough yet.
    NotLowForLong {
        /// Since when it could.
        since: Timestamp,
        /// From when on it goes, if it still can.
        goes_from: Timestamp,
    },
    /// A drain was taken back in its group a short time ago.
    TakenBack {
        /// The group.
        group: GroupName,
        /// Until when nothing of it goes.
        until: Timestamp,
    },
    /// Nothing goes in its cluster now. The text says why.
    Halted(String),
    /// Its group would be smaller than its minimum.
    GroupAtMinimum {
        /// The group.
        group: GroupName,
        /// Its minimum size.
        min_size: i64,
    },
    /// Its tasks were not read: enough others were better candidates.
    NotRead,
    /// A task on it may not move. The text says which, and why.
    Pinned(String),
    /// Managed scaling would not take it, or would launch others.
    TargetCapacity {
        /// The group that managed scaling decides about: its own, or one that its tasks may move to.
        group: GroupName,
        /// The share of the group that is to hold tasks, in percent.
        target_capacity: u32,
    },
    /// The cluster is at the least number of usable instances.
    MinInstances {
        /// That number.
        min_instances: usize,
        /// The service that they would be too few for, if there are others: its tasks need their
        /// platform, or a zone with a subnet of theirs.
        service: Option<String>,
    },
    /// The sweep removes without it what it may.
    MaxRemovals {
        /// What says how many it may remove: a setting and its share, or a budget.
        decided_by: String,
        /// From when on more may go, if that is known.
        more_from: Option<Timestamp>,
    },
    /// The zones of its group would be less balanced without it.
    ZoneBalance,
    /// The headroom would not be left without it.
    Headroom {
        /// What would be short.
        resource: HeadroomResource,
        /// The share of it that must be free, in percent.
        percent: u32,
        /// The service that it would be too little for, if there is other room: its tasks need their
        /// platform, or a zone with a subnet of theirs.
        service: Option<String>,
    },
    /// There would not be room for so many more tasks without it.
    TaskHeadroom {
        /// Their service.
        service: String,
        /// How many.
        tasks: u32,
        /// Whether they are wanted as the largest of the cluster, and not by their name.
        largest: bool,
    },
    /// Its tasks would not fit on what stays, or not surely. The text names what stands in the way.
    NoRoom(String),
}

/// What headroom is kept of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words say it")]
pub enum HeadroomResource {
    Cpu,
    Memory,
}

impl HeadroomResource {
    /// The operator's name for its limit.
    fn setting(self) -> &'static str {
        match self {
            Self::Cpu => "HEADROOM_CPU_PERCENT",
            Self::Memory => "HEADROOM_MEMORY_PERCENT",
        }
    }
}

impl KeepReason {
    /// The word for it in the answer.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Contradiction(_) => "contradiction",
            Self::Draining => "draining",
            Self::NotActive(_) => "not_active",
            Self::AgentDisconnected => "agent_disconnected",
            Self::EcsManaged => "ecs_managed",
            Self::NoGroup => "no_group",
            Self::GroupNotAllowed(_) => "group_not_allowed",
            Self::ManagedScaling(_) => "managed_scaling",
            Self::GroupUnavailable(..) => "group_unavailable",
            Self::NotInService(_) => "not_in_service",
            Self::Unhealthy => "unhealthy",
            Self::ProtectedFromScaleIn => "protected_from_scale_in",
            Self::Held(_) => "held",
            Self::Keep => "keep",
            Self::GroupOwned(..) => "group_owned",
            Self::NotTaken { .. } => "not_taken",
            Self::TooYoung { .. } => "too_young",
            Self::NotLowForLong { .. } => "not_low_for_long",
            Self::TakenBack { .. } => "taken_back",
            Self::Halted(_) => "halted",
            Self::GroupAtMinimum { .. } => "group_at_minimum",
            Self::NotRead => "not_read",
            Self::Pinned(_) => "pinned",
            Self::TargetCapacity { .. } => "target_capacity",
            Self::MinInstances { .. } => "min_instances",
            Self::MaxRemovals { .. } => "max_removals",
            Self::ZoneBalance => "zone_balance",
            Self::Headroom { .. } => "headroom",
            Self::TaskHeadroom { .. } => "task_headroom",
            Self::NoRoom(_) => "no_room",
        }
    }
}

impl fmt::Display for KeepReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Contradiction(why) => write!(f, "what AWS says about it cannot be true: {why}"),
            Self::Draining => f.write_str("it is draining already"),
            Self::NotActive(status) => write!(f, "its status in ECS is {status}"),
            Self::AgentDisconnected => f.write_str("its ECS agent is not connected"),
            Self::EcsManaged => f.write_str("ECS manages it, and takes it away itself"),
            Self::NoGroup => f.write_str("it is in no Auto Scaling group"),
            Self::GroupNotAllowed(group) => {
                write!(f, "group {group} is not in AUTO_SCALING_GROUPS")
            }
            Self::ManagedScaling(group) => write!(
                f,
                "a capacity provider's managed scaling decides the size of group {group} \
                 (MANAGED_SCALING is leave)"
            ),
            Self::GroupUnavailable(group, why) => {
                write!(f, "group {group} cannot be shrunk now: {why}")
            }
            Self::NotInService(state) => write!(f, "its lifecycle state in its group is {state}"),
            Self::Unhealthy => f.write_str("its group holds it for unhealthy"),
            Self::ProtectedFromScaleIn => f.write_str("its group protects it from scale-in"),
            Self::Held(hold) => hold.fmt(f),
            Self::Keep => write!(
                f,
                "its attribute {KEEP_ATTRIBUTE}, or the tag {KEEP_TAG} of its group, asks to keep it"
            ),
            Self::GroupOwned(group, owner) => write!(f, "{owner} owns group {group}"),
            Self::NotTaken { emptied_at } => write!(
                f,
                "an earlier sweep drained it, and ECS did not take it although it had no task at \
                 {emptied_at}"
            ),
            Self::TooYoung { min_instance_age } => {
                let age = seconds(*min_instance_age);
                write!(f, "it is younger than MIN_INSTANCE_AGE_SECONDS ({age})")
            }
            Self::NotLowForLong { since, goes_from } => write!(
                f,
                "it could go since {since:.0}, and goes from {goes_from:.0} on if it still can \
                 (LOW_FOR_SWEEPS)"
            ),
            Self::TakenBack { group, until } => write!(
                f,
                "a drain was taken back in group {group}: nothing of it goes until {until:.0} \
                 (HOLD_AFTER_TAKE_BACK_SECONDS)"
            ),
            Self::Halted(why) => write!(f, "nothing goes in this cluster now: {why}"),
            Self::GroupAtMinimum { group, min_size } => {
                write!(f, "group {group} would be below its minimum size ({min_size})")
            }
            Self::NotRead => f.write_str("its tasks were not read: others are better candidates"),
            Self::Pinned(why) | Self::NoRoom(why) => f.write_str(why),
            Self::TargetCapacity { group, target_capacity } => write!(
                f,
                "managed scaling would not take an instance of group {group} for it, or would launch \
                 others: its targetCapacity is {}",
                percent(*target_capacity)
            ),
            Self::MinInstances { min_instances, service } => {
                let instances = count(*min_instances, "usable instance");
                write!(f, "MIN_INSTANCES ({instances}) would not be left{}", within(service))
            }
            Self::MaxRemovals { decided_by, more_from } => {
                write!(f, "{decided_by} is used up")?;
                more_from.map_or(Ok(()), |at| write!(f, "; more may go from {at} on"))
            }
            Self::ZoneBalance => {
                f.write_str("its zone would be left with too few instances of its group")
            }
            Self::Headroom { resource, percent: share, service } => {
                let (setting, share) = (resource.setting(), percent(*share));
                write!(f, "{setting} ({share}) would not be left{}", within(service))
            }
            Self::TaskHeadroom { service, tasks, largest: true } => write!(
                f,
                "{}, the largest there is, would not be left (HEADROOM_LARGEST_TASKS)",
                more_tasks(*tasks, service)
            ),
            Self::TaskHeadroom { service, tasks, largest: false } => {
                write!(f, "{} would not be left (HEADROOM_TASKS)", more_tasks(*tasks, service))
            }
        }
    }
}

/// The room that would be lost: "room for 2 more tasks of service web".
fn more_tasks(tasks: u32, service: &str) -> String {
    format!("room for {} of service {service}", count(tasks, "more task"))
}

/// Where a limit is reached, if not in all of the cluster.
fn within(service: &Option<String>) -> String {
    service.as_ref().map_or_else(String::new, |service| {
        format!(" where the platform and the subnets of service {service} let its tasks run")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_says_where_its_tasks_fit_in_singular_and_plural() {
        let elsewhere = [1, 2].map(|tasks| RemoveReason::Certified { tasks }.to_string());
        assert_eq!(
            elsewhere,
            [
                "its task fits elsewhere, wherever ECS places the tasks that move",
                "its 2 tasks fit elsewhere, wherever ECS places the tasks that move",
            ]
        );
    }

    fn headroom(resource: HeadroomResource) -> KeepReason {
        KeepReason::Headroom { resource, percent: 20, service: None }
    }

    #[test]
    fn a_limit_names_its_setting_and_the_value_of_it() {
        let min_instance_age = SignedDuration::from_mins(15);
        let group = GroupName::new("shop");
        for (reason, sentence) in [
            (
                KeepReason::TooYoung { min_instance_age },
                "it is younger than MIN_INSTANCE_AGE_SECONDS (900 s)",
            ),
            (
                KeepReason::GroupNotAllowed(group.clone()),
                "group shop is not in AUTO_SCALING_GROUPS",
            ),
            (
                KeepReason::ManagedScaling(group.clone()),
                "a capacity provider's managed scaling decides the size of group shop \
                 (MANAGED_SCALING is leave)",
            ),
            (
                KeepReason::TargetCapacity { group: group.clone(), target_capacity: 80 },
                "managed scaling would not take an instance of group shop for it, or would launch \
                 others: its targetCapacity is 80 %",
            ),
            (
                KeepReason::GroupAtMinimum { group, min_size: 2 },
                "group shop would be below its minimum size (2)",
            ),
            (
                KeepReason::MinInstances { min_instances: 1, service: None },
                "MIN_INSTANCES (1 usable instance) would not be left",
            ),
            (
                KeepReason::MinInstances { min_instances: 2, service: Some("web".to_owned()) },
                "MIN_INSTANCES (2 usable instances) would not be left where the platform and the \
                 subnets of service web let its tasks run",
            ),
            (
                KeepReason::MaxRemovals {
                    decided_by: "MAX_REMOVALS_PERCENT (10 %)".to_owned(),
                    more_from: None,
                },
                "MAX_REMOVALS_PERCENT (10 %) is used up",
            ),
            (
                KeepReason::MaxRemovals {
                    decided_by: "budget 2 of BUDGETS (0 instances)".to_owned(),
                    more_from: Some(Timestamp::UNIX_EPOCH),
                },
                "budget 2 of BUDGETS (0 instances) is used up; more may go from \
                 1970-01-01T00:00:00Z on",
            ),
            (headroom(HeadroomResource::Cpu), "HEADROOM_CPU_PERCENT (20 %) would not be left"),
            (
                headroom(HeadroomResource::Memory),
                "HEADROOM_MEMORY_PERCENT (20 %) would not be left",
            ),
        ] {
            assert_eq!(reason.to_string(), sentence);
        }
    }
}
