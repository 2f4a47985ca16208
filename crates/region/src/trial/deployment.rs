//! How a drainer is deployed: what invokes its function, and how its hook and function are set.

use std::time::Duration;

use super::signal::Signal;
use crate::world::World;
use crate::world::autoscaling::{Hook, Refused};
use crate::world::delivery::{Function, Queue, Rule, Target};

/// The drainer's function.
pub const FUNCTION: &str = "drainer";

const TOPIC: &str = "arn:aws:sns:eu-west-1:111122223333:drainer";

/// What invokes the function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A topic: a hook's own, or that of an EventBridge rule.
    Sns,
    /// An EventBridge rule.
    EventBridge,
    /// A queue that an EventBridge rule sends to, as `infra/` has it.
    Sqs,
    /// A queue of which an invocation gets one message, as many at once as there are.
    SqsSingle,
}

impl Source {
    /// Reads it by its name: `sns`, `eventbridge`, `sqs` or `sqs-single`.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "sns" => Some(Self::Sns),
            "eventbridge" => Some(Self::EventBridge),
            "sqs" => Some(Self::Sqs),
            "sqs-single" => Some(Self::SqsSingle),
            _ => None,
        }
    }
}

/// How a drainer is deployed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deployment {
    /// What invokes its function.
    pub source: Source,
    /// The function's time-out.
    pub timeout: Duration,
    /// The hook's heartbeat time-out.
    pub heartbeat_timeout: Duration,
    /// Whether the function may invoke itself through SNS for as long as it likes: `RecursiveLoop`
    /// `Allow`.
    pub recursive_loop_allowed: bool,
}

impl Deployment {
    /// Deploys the function, and lets it be told of what a trial is about. Its hook is there
    /// already, unless it `puts_hook` now.
    ///
    /// # Errors
    /// If Auto Scaling refuses the hook.
    pub(super) fn install(
        &self,
        world: &mut World,
        signal: Signal,
        puts_hook: bool,
    ) -> Result<(), Refused> {
        let mut function = Function::new(self.timeout);
        function.recursive_loop_allowed = self.recursive_loop_allowed;
        world.delivery.functions.insert(FUNCTION.to_owned(), function);
        let target = match self.source {
            Source::Sns => {
                world.subscribe(TOPIC, FUNCTION);
                Target::Topic(TOPIC.to_owned())
            }
            Source::EventBridge => Target::Function(FUNCTION.to_owned()),
            Source::Sqs | Source::SqsSingle => {
                world.add_queue(FUNCTION, self.queue());
                Target::Queue(FUNCTION.to_owned())
            }
        };
        let topic_arn = match signal {
            Signal::Interruption(_) => {
                let warning = "EC2 Spot Instance Interruption Warning";
                world.delivery.rules.push(rule("aws.ec2", warning, target));
                return Ok(());
            }
            // A hook publishes to its topic by itself.
            Signal::Termination if self.source == Source::Sns => Some(TOPIC.to_owned()),
            Signal::Termination => {
                let action = "EC2 Instance-terminate Lifecycle Action";
                world.delivery.rules.push(rule("aws.autoscaling", action, target));
                None
            }
        };
        let hook =
            Hook { heartbeat_timeout: self.heartbeat_timeout, topic_arn, ..Hook::new("drain") };
        if puts_hook {
            let groups: Vec<_> = world.groups.keys().cloned().collect();
            return groups.iter().try_for_each(|group| world.put_hook(group, hook.clone()));
        }
        for group in world.groups.values_mut() {
            group.hooks.push(hook.clone());
        }
        Ok(())
    }

    fn queue(&self) -> Queue {
        // As long as the function's time-out, as infra/ has it.
        let queue = Queue { visibility_timeout: self.timeout, ..Queue::for_function(FUNCTION) };
        match self.source {
            Source::SqsSingle => Queue { batch_size: 1, maximum_concurrency: 1_000, ..queue },
            _ => queue,
        }
    }
}

fn rule(source: &str, detail_type: &str, target: Target) -> Rule {
    Rule { source: source.to_owned(), detail_types: vec![detail_type.to_owned()], target }
}
