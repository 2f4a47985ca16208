//! What is going to happen in the world.

use jiff::Timestamp;
use serde_json::Value;

use super::delivery::{Hop, Invocation};
use super::ec2::EndedBy;
use super::spot;

/// Something that is due at a moment.
#[derive(Debug, Clone)]
pub(super) enum Due {
    /// A task takes the next step of its life.
    TaskStep { cluster: String, task: String },
    /// A service's scheduler looks at its tasks.
    Reconcile { cluster: String, service: String },
    /// EC2 takes an instance away.
    Interruption { instance_id: String, action: spot::Action },
    /// ECS says that the agent of an instance that has ended is not connected.
    AgentLoss { cluster: String, container_instance: String },
    /// ECS deregisters an instance that has ended.
    Deregistration { cluster: String, container_instance: String },
    /// A group's health check looks at an instance that has ended.
    HealthCheck { instance_id: String },
    /// Somebody marks an instance of a group as unhealthy.
    Unhealthy { instance_id: String },
    /// A group replaces an instance that is unhealthy.
    UnhealthyReplacement { instance_id: String },
    /// An instance is terminated, and everybody knows it at once.
    Removal { instance_id: String, by: EndedBy },
    /// EC2 runs a launched instance.
    Running { group: String, instance_id: String },
    /// A stopped or hibernated instance runs again.
    Return { instance_id: String },
    /// The agent of an instance that runs again connects.
    AgentConnects { instance_id: String },
    /// An instance is back with a new root volume.
    RootVolumeReplaced { instance_id: String },
    /// A launched instance has booted and joins its cluster.
    Joined { group: String, instance_id: String },
    /// A group looks at the balance of its Availability Zones.
    Rebalance { group: String },
    /// ECS measures how many instances a capacity provider needs.
    Reservation { provider: String },
    /// ECS looks at an instance that its own termination hook holds.
    ManagedDraining { instance_id: String },
    /// A lifecycle action's heartbeat or global timeout ends.
    ActionTimeout { token: String },
    /// A message reaches a function.
    Deliver { function: String, payload: Value, hop: Hop },
    /// Somebody terminates an instance of a group.
    TerminateInGroup { instance_id: String, decrement: bool },
    /// An event reaches the rules.
    Event { event: Value },
    /// A queue's messages are looked at.
    Poll { queue: String },
    /// A schedule's time has come.
    Schedule { name: String },
    /// A schedule's input is handed to Lambda.
    ScheduleAttempt { name: String, retries: u32, since: Timestamp },
    /// An asynchronous invocation is due.
    Invoke { invocation: Invocation },
}
