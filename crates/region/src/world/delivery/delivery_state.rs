//! Everything that brings events to functions, and the invocations that wait or ended.

use std::collections::{BTreeMap, VecDeque};

use super::event_rule::Rule;
use super::function::Function;
use super::invocation::{Ended, Invocation};
use super::mishaps::Mishaps;
use super::queue::Queue;
use super::schedule::Schedule;

/// Rules, queues and functions.
#[derive(Debug, Clone, Default)]
pub struct Delivery {
    /// EventBridge rules.
    pub rules: Vec<Rule>,
    /// EventBridge schedules by name.
    pub schedules: BTreeMap<String, Schedule>,
    /// SQS queues by name.
    pub queues: BTreeMap<String, Queue>,
    /// Lambda functions by name.
    pub functions: BTreeMap<String, Function>,
    /// Every invocation that ended, with what the function returned.
    pub ended: Vec<Ended>,
    /// What goes wrong between an event or a message and its receivers.
    pub mishaps: Mishaps,
    pub(super) ready: VecDeque<Invocation>,
    pub(super) invoked: u64,
}

impl Delivery {
    pub(in crate::world) fn make_ready(&mut self, invocation: Invocation) {
        self.ready.push_back(invocation);
    }

    /// Whether an invocation waits to be taken.
    pub fn has_ready(&self) -> bool {
        // One whose function is fully used stays where it is, so it is not waited for here.
        self.ready.iter().any(|invocation| {
            self.functions
                .get(&invocation.function)
                .is_some_and(|function| function.running < function.concurrency)
        })
    }
}
