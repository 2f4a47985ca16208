//! Termination hooks of a group, and how their actions can end.

use std::time::Duration;

/// What Auto Scaling calls the transition.
pub const TERMINATING: &str = "autoscaling:EC2_INSTANCE_TERMINATING";

/// The heartbeat timeout of a hook that names none.
const HEARTBEAT_DEFAULT: Duration = Duration::from_secs(3600);

/// No hook holds an instance longer than this, nor longer than so many heartbeat timeouts.
const GLOBAL_TIMEOUT_MAX: Duration = Duration::from_secs(48 * 3600);

const GLOBAL_TIMEOUT_HEARTBEATS: u32 = 100;

/// A termination hook of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// Its name.
    pub name: String,
    /// After how long without a heartbeat an action ends with the default result.
    pub heartbeat_timeout: Duration,
    /// See `heartbeat_timeout`.
    pub default_result: ActionResult,
    /// The topic that is told; EventBridge is told anyway.
    pub topic_arn: Option<String>,
    /// `NotificationMetadata`.
    pub metadata: Option<String>,
    /// The role that Auto Scaling takes on to publish.
    pub role_arn: Option<String>,
}

impl Hook {
    /// A hook with AWS's defaults.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            heartbeat_timeout: HEARTBEAT_DEFAULT,
            default_result: ActionResult::Abandon,
            topic_arn: None,
            metadata: None,
            role_arn: None,
        }
    }

    /// How long it can hold an instance at most.
    pub fn global_timeout(&self) -> Duration {
        GLOBAL_TIMEOUT_MAX.min(self.heartbeat_timeout * GLOBAL_TIMEOUT_HEARTBEATS)
    }
}

/// How a lifecycle action ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActionResult {
    /// The instance goes on to terminate once no other hook holds it.
    Continue,
    /// The instance terminates at once, whatever other hooks there are, unless its group retains
    /// it.
    Abandon,
}

impl ActionResult {
    /// AWS's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Continue => "CONTINUE",
            Self::Abandon => "ABANDON",
        }
    }

    /// Reads AWS's word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Continue, Self::Abandon].into_iter().find(|result| result.as_str() == word)
    }
}
