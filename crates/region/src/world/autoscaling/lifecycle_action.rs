//! Lifecycle actions: a hook that holds an instance, and how that ended.

use jiff::Timestamp;

use super::lifecycle_hook::{ActionResult, Hook};

/// A hook that holds an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LifecycleAction {
    /// The group.
    pub group: String,
    /// The instance.
    pub instance_id: String,
    /// The hook, as it was when the action began.
    pub hook: Hook,
    /// The action token: a UUID.
    pub token: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ends unless a heartbeat is recorded.
    pub heartbeat_deadline: Timestamp,
    /// When it ends in any case.
    pub global_deadline: Timestamp,
}

impl LifecycleAction {
    pub(super) fn deadline(&self) -> Timestamp {
        self.heartbeat_deadline.min(self.global_deadline)
    }
}

/// A lifecycle action that was completed. Those that another hook's ABANDON or the end of the
/// instance ended are not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompletedAction {
    /// The instance that the hook held.
    pub instance_id: String,
    /// The hook, by name.
    pub hook: String,
    /// The action token.
    pub token: String,
    /// Whether the termination went on or was abandoned.
    pub result: ActionResult,
    /// When it was completed.
    pub time: Timestamp,
    /// Who or what completed it.
    pub cause: CompletedBy,
}

/// Who completed a lifecycle action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompletedBy {
    /// A call of `CompleteLifecycleAction`.
    Caller,
    /// No heartbeat came in time: the default result.
    HeartbeatTimeout,
    /// The hook had held the instance as long as it may: the default result.
    GlobalTimeout,
    /// The hook was deleted.
    HookDeletion,
}

/// Which lifecycle action a call means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActionKey<'a> {
    /// The group.
    pub group: &'a str,
    /// The hook, by name.
    pub hook: &'a str,
    /// The action token. It, the instance or both must be given, and must all fit.
    pub token: Option<&'a str>,
    /// See `token`.
    pub instance_id: Option<&'a str>,
}

impl ActionKey<'_> {
    pub(super) fn fits(&self, action: &LifecycleAction) -> bool {
        action.group == self.group
            && action.hook.name == self.hook
            && self.token.is_none_or(|token| action.token == token)
            && self.instance_id.is_none_or(|instance_id| action.instance_id == instance_id)
    }
}
