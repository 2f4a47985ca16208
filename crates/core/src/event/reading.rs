//! What a reader makes of an event.

use crate::ids::InstanceId;

/// One event, whatever it came wrapped in.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<T> {
    /// What the reader reads.
    Ours(T),
    /// An event that is not for the function. Normal: rules, topics and queues are shared.
    Ignored {
        /// The instance that the event is about, where it says so.
        instance_id: Option<InstanceId>,
        /// Why it is not for us, for the log.
        why: String,
    },
}

impl<T> Event<T> {
    pub(crate) fn ignored(why: impl Into<String>) -> Self {
        Self::Ignored { instance_id: None, why: why.into() }
    }
}
