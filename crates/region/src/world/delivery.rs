//! How events reach functions: EventBridge rules and schedules, SQS queues as event sources, SNS
//! topics, and Lambda's invocations.

mod asynchronous_invocation;
mod concurrency;
mod delivery_state;
mod event_delivery;
mod event_rule;
mod function;
mod invocation;
mod mishaps;
mod queue;
mod queue_polling;
mod schedule;
mod schedule_runs;
mod topic;
mod topic_publishing;

pub use self::delivery_state::Delivery;
pub use self::event_rule::{Rule, Target};
pub use self::function::Function;
pub use self::invocation::{Ended, Hop, Invocation, RECURSION_HOPS_MAX};
pub use self::mishaps::Mishaps;
pub use self::queue::{Message, Queue};
pub use self::schedule::Schedule;
pub use self::topic::Topic;
