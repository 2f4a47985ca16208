//! The settings of the `lifecycle-drainer`.

use jiff::SignedDuration;

use crate::ids::{Cluster, TopicArn};
use crate::settings::{
    BOOLEAN_EXPECTED, CLUSTERS_EXPECTED, DRY_RUN, ECS_CLUSTERS, METRICS_NAMESPACE,
    NAMESPACE_EXPECTED, NOTIFICATION_TOPIC_ARN, Reader, SettingsError, TOPIC_ARN_EXPECTED, boolean,
    clusters, namespace, seconds, topic_arn,
};

/// Seconds after which a drain gives up, counted from the lifecycle message's own time.
pub const DRAIN_TIMEOUT_SECONDS: &str = "DRAIN_TIMEOUT_SECONDS";
/// Upper bound in seconds of the pause between two looks at a draining container instance.
pub const POLL_INTERVAL_SECONDS: &str = "POLL_INTERVAL_SECONDS";
/// Length in seconds of one invocation's wait.
pub const HOP_SECONDS: &str = "HOP_SECONDS";
/// What happens to the lifecycle action of a drain that gives up.
pub const ON_TIMEOUT: &str = "ON_TIMEOUT";
/// What happens to standalone tasks.
pub const STANDALONE_TASKS: &str = "STANDALONE_TASKS";

/// The shortest and the longest time that a drain may take. The longest is the global time-out of a lifecycle action
/// (EC2 Auto Scaling User Guide, lifecycle-hooks).
pub const DRAIN_TIMEOUT_MIN: SignedDuration = SignedDuration::from_secs(60);
/// See [`DRAIN_TIMEOUT_MIN`].
pub const DRAIN_TIMEOUT_MAX: SignedDuration = SignedDuration::from_secs(172_800);

/// The settings of the `lifecycle-drainer`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LifecycleSettings {
    /// Clusters to look in; `None` is every cluster of the Region. Read from `ECS_CLUSTERS`.
    pub clusters: Option<Vec<Cluster>>,
    /// Whether to change nothing. Read from `DRY_RUN`, default `false`.
    pub dry_run: bool,
    /// After how long a drain gives up. Read from `DRAIN_TIMEOUT_SECONDS`, 60 to 172800, default 900.
    pub drain_timeout: SignedDuration,
    /// The longest pause between two looks. Read from `POLL_INTERVAL_SECONDS`, 1 to 60, default 15.
    pub poll_interval: SignedDuration,
    /// How long one invocation waits. Read from `HOP_SECONDS`, 10 to 840; by default as long as it may be, as fewer
    /// hops cost fewer calls.
    pub hop: SignedDuration,
    /// What happens at the deadline. Read from `ON_TIMEOUT`, default `continue`.
    pub on_timeout: OnTimeout,
    /// What happens to standalone tasks. Read from `STANDALONE_TASKS`, default `wait`.
    pub standalone_tasks: StandaloneTasks,
    /// The topic for notices to people. Read from `NOTIFICATION_TOPIC_ARN`.
    pub notification_topic: Option<TopicArn>,
    /// The CloudWatch namespace of the metrics. Read from `METRICS_NAMESPACE`, default `Ebb`.
    pub metrics_namespace: String,
}

/// What happens to the lifecycle action of a drain that gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnTimeout {
    /// It is completed with CONTINUE: the instance goes, with what still runs on it.
    Continue,
    /// It is completed with ABANDON, which cancels the other hooks; a group may retain the instance then.
    Abandon,
    /// The container instance is set ACTIVE again and the action is left to its own time-out.
    Reactivate,
}

/// What happens to standalone tasks, which DRAINING leaves alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StandaloneTasks {
    /// They are waited for.
    Wait,
    /// They are stopped, and waited for.
    Stop,
    /// They are not waited for.
    Ignore,
}

impl Default for LifecycleSettings {
    fn default() -> Self {
        Self {
            clusters: None,
            dry_run: false,
            drain_timeout: SignedDuration::from_secs(900),
            poll_interval: SignedDuration::from_secs(15),
            hop: SignedDuration::from_secs(840),
            on_timeout: OnTimeout::Continue,
            standalone_tasks: StandaloneTasks::Wait,
            notification_topic: None,
            metrics_namespace: "Ebb".to_owned(),
        }
    }
}

impl LifecycleSettings {
    /// The variables that [`LifecycleSettings::from_lookup`] reads.
    pub const VARIABLES: [&str; 9] = [
        ECS_CLUSTERS,
        DRY_RUN,
        DRAIN_TIMEOUT_SECONDS,
        POLL_INTERVAL_SECONDS,
        HOP_SECONDS,
        ON_TIMEOUT,
        STANDALONE_TASKS,
        NOTIFICATION_TOPIC_ARN,
        METRICS_NAMESPACE,
    ];

    /// Reads the settings from `lookup`, which returns the value of a variable or `None` if it is unset.
    ///
    /// # Errors
    /// Every variable with a wrong value, with that value and what was expected.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let mut reader = Reader { lookup, problems: Vec::new() };
        let default = Self::default();
        let settings = Self {
            clusters: reader.read(ECS_CLUSTERS, CLUSTERS_EXPECTED, clusters),
            dry_run: reader.read(DRY_RUN, BOOLEAN_EXPECTED, boolean).unwrap_or(default.dry_run),
            drain_timeout: reader
                .read(DRAIN_TIMEOUT_SECONDS, "a number of seconds from 60 to 172800", |text| {
                    seconds(text, 60..=172_800)
                })
                .unwrap_or(default.drain_timeout),
            poll_interval: reader
                .read(POLL_INTERVAL_SECONDS, "a number of seconds from 1 to 60", |text| {
                    seconds(text, 1..=60)
                })
                .unwrap_or(default.poll_interval),
            hop: reader
                .read(HOP_SECONDS, "a number of seconds from 10 to 840", |text| {
                    seconds(text, 10..=840)
                })
                .unwrap_or(default.hop),
            on_timeout: reader
                .read(ON_TIMEOUT, "`continue`, `abandon` or `reactivate`", on_timeout)
                .unwrap_or(default.on_timeout),
            standalone_tasks: reader
                .read(STANDALONE_TASKS, "`wait`, `stop` or `ignore`", standalone_tasks)
                .unwrap_or(default.standalone_tasks),
            notification_topic: reader.read(NOTIFICATION_TOPIC_ARN, TOPIC_ARN_EXPECTED, topic_arn),
            metrics_namespace: reader
                .read(METRICS_NAMESPACE, NAMESPACE_EXPECTED, namespace)
                .unwrap_or(default.metrics_namespace),
        };
        reader.finish(settings)
    }
}

fn on_timeout(text: &str) -> Option<OnTimeout> {
    match text {
        "continue" => Some(OnTimeout::Continue),
        "abandon" => Some(OnTimeout::Abandon),
        "reactivate" => Some(OnTimeout::Reactivate),
        _ => None,
    }
}

fn standalone_tasks(text: &str) -> Option<StandaloneTasks> {
    match text {
        "wait" => Some(StandaloneTasks::Wait),
        "stop" => Some(StandaloneTasks::Stop),
        "ignore" => Some(StandaloneTasks::Ignore),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn the_lifecycle_drainer_reads_its_variables_and_names_every_wrong_one() {
        let read = |variables: &[(&str, &str)]| {
            let variables: HashMap<_, _> = variables.iter().copied().collect();
            LifecycleSettings::from_lookup(|key| variables.get(key).map(|&value| value.to_owned()))
        };
        assert_eq!(read(&[]), Ok(LifecycleSettings::default()));

        let set = read(&[
            (DRAIN_TIMEOUT_SECONDS, "172800"),
            (POLL_INTERVAL_SECONDS, "1"),
            (HOP_SECONDS, "10"),
            (ON_TIMEOUT, "reactivate"),
            (STANDALONE_TASKS, "stop"),
        ]);
        let expected = LifecycleSettings {
            drain_timeout: DRAIN_TIMEOUT_MAX,
            poll_interval: SignedDuration::from_secs(1),
            hop: SignedDuration::from_secs(10),
            on_timeout: OnTimeout::Reactivate,
            standalone_tasks: StandaloneTasks::Stop,
            ..LifecycleSettings::default()
        };
        assert_eq!(set, Ok(expected));

        let wrong = LifecycleSettings::VARIABLES.map(|variable| (variable, "0 or so,"));
        assert_eq!(read(&wrong).unwrap_err().problems.len(), wrong.len());
        for (variable, value) in [
            (DRAIN_TIMEOUT_SECONDS, "59"),
            (DRAIN_TIMEOUT_SECONDS, "172801"),
            (POLL_INTERVAL_SECONDS, "0"),
            (HOP_SECONDS, "841"),
            (HOP_SECONDS, "+60"),
            (ON_TIMEOUT, "CONTINUE"),
            (STANDALONE_TASKS, ""),
        ] {
            assert!(read(&[(variable, value)]).is_err(), "{variable}={value}");
        }
    }
}
