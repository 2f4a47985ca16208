//! Why an instance goes or stays, in one typed word and one sentence.

use std::fmt;

use crate::ecs::ContainerInstanceStatus;
use crate::ids::GroupName;

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
        let tasks = |n: usize| {
            if n == 1 { "its task finds".to_owned() } else { format!("its {n} tasks find") }
        };
        match self {
            Self::Empty => f.write_str("no service runs a task on it"),
            Self::Certified { tasks: n } => {
                write!(f, "{} a place wherever ECS puts what moves", tasks(*n))
            }
            Self::Replayed { tasks: n } => {
                write!(f, "{} a place by the services' placement strategies", tasks(*n))
            }
        }
    }
}

/// Why an instance stays. The order is that of the rules: the first that applies is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeepReason {
    /// What ECS and Auto Scaling say about it cannot be true. The text says what.
    Contradiction(String),
    /// It drains already, by whatever hand.
    Draining,
    /// It is in another status than ACTIVE.
    NotActive(ContainerInstanceStatus),
    /// Its agent is not connected.
    AgentDisconnected,
    /// It is in no Auto Scaling group: nothing would take it away.
    NoGroup,
    /// Its group is not among those that may be shrunk.
    GroupNotAllowed(GroupName),
    /// A capacity provider's managed scaling decides the size of its group.
    ManagedScaling(GroupName),
    /// Its group may not be shrunk just now. The text says why.
    GroupUnavailable(GroupName, String),
    /// Its group holds it in another state than `InService`.
    NotInService(String),
    /// Its group protects it from scale-in.
    ProtectedFromScaleIn,
    /// It registered too short a time ago.
    TooYoung,
    /// Its group is at its minimum.
    GroupAtMinimum(GroupName),
    /// Its tasks were not read: enough others were better candidates.
    NotRead,
    /// A task on it may not move. The text says which, and why.
    Pinned(String),
    /// The cluster is at the least number of usable instances.
    MinInstances,
    /// The sweep removes its share of the cluster without it.
    MaxRemovals,
    /// The zones of its group would be less balanced without it.
    ZoneBalance,
    /// The headroom would not be left without it.
    Headroom,
    /// Its tasks would not fit on what stays, or not surely. The text names what stands in the way.
    NoRoom(String),
}

impl KeepReason {
    /// The word for it in the answer.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Contradiction(_) => "contradiction",
            Self::Draining => "draining",
            Self::NotActive(_) => "not_active",
            Self::AgentDisconnected => "agent_disconnected",
            Self::NoGroup => "no_group",
            Self::GroupNotAllowed(_) => "group_not_allowed",
            Self::ManagedScaling(_) => "managed_scaling",
            Self::GroupUnavailable(..) => "group_unavailable",
            Self::NotInService(_) => "not_in_service",
            Self::ProtectedFromScaleIn => "protected_from_scale_in",
            Self::TooYoung => "too_young",
            Self::GroupAtMinimum(_) => "group_at_minimum",
            Self::NotRead => "not_read",
            Self::Pinned(_) => "pinned",
            Self::MinInstances => "min_instances",
            Self::MaxRemovals => "max_removals",
            Self::ZoneBalance => "zone_balance",
            Self::Headroom => "headroom",
            Self::NoRoom(_) => "no_room",
        }
    }
}

impl fmt::Display for KeepReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Contradiction(what) => write!(f, "what is said about it cannot be true: {what}"),
            Self::Draining => f.write_str("it drains already"),
            Self::NotActive(status) => write!(f, "it is {status}"),
            Self::AgentDisconnected => f.write_str("its agent is not connected"),
            Self::NoGroup => f.write_str("it is in no Auto Scaling group"),
            Self::GroupNotAllowed(group) => write!(f, "group {group} is not to be shrunk"),
            Self::ManagedScaling(group) => {
                write!(f, "a capacity provider's managed scaling decides the size of group {group}")
            }
            Self::GroupUnavailable(group, why) => {
                write!(f, "group {group} cannot be shrunk now: {why}")
            }
            Self::NotInService(state) => write!(f, "its group says {state}"),
            Self::ProtectedFromScaleIn => f.write_str("its group protects it from scale-in"),
            Self::TooYoung => f.write_str("it is too young"),
            Self::GroupAtMinimum(group) => write!(f, "group {group} is at its minimum"),
            Self::NotRead => f.write_str("enough others were better candidates"),
            Self::Pinned(why) | Self::NoRoom(why) => f.write_str(why),
            Self::MinInstances => {
                f.write_str("the cluster is at its least number of usable instances")
            }
            Self::MaxRemovals => {
                f.write_str("the sweep removes its share of the cluster without it")
            }
            Self::ZoneBalance => {
                f.write_str("its zone would be left with too few instances of its group")
            }
            Self::Headroom => f.write_str("the headroom would not be left"),
        }
    }
}
