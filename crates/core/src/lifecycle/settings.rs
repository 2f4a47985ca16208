//! The settings of the `lifecycle-drainer`: one declaration each.
//!
//! What they share with the other functions is in [`crate::settings`]; what they do is left to the
//! decisions that take them.

use std::collections::BTreeSet;

use jiff::SignedDuration;

use crate::ids::{Cluster, HookName, TopicArn};
use crate::notification::{FORMAT, NotificationFormat};
use crate::settings::{
    BOOLEAN, CLUSTERS, DEFAULT_NAMESPACE, NAMESPACE, TOPIC_ARN, Whole, seconds, settings, word,
};
use crate::vocabulary::vocabulary;

settings! {
    /// The settings of the `lifecycle-drainer`.
    pub struct LifecycleSettings {
        /// Clusters to look in; `None` is every cluster of the Region.
        ECS_CLUSTERS: CLUSTERS => clusters: Option<Vec<Cluster>> = None,
        /// The only hooks whose actions are ours; `None` is every termination hook.
        LIFECYCLE_HOOKS: HOOKS => hooks: Option<BTreeSet<HookName>> = None,
        /// Whether to change nothing.
        DRY_RUN: BOOLEAN => dry_run: bool = false,
        /// After how long a drain gives up, counted from the lifecycle message's own time. At most
        /// [`DRAIN_TIMEOUT_MAX`].
        DRAIN_TIMEOUT_SECONDS: seconds!(60..=172_800) =>
            drain_timeout: SignedDuration = SignedDuration::from_secs(900),
        /// The longest pause between two looks at a draining container instance.
        POLL_INTERVAL_SECONDS: seconds!(1..=60) =>
            poll_interval: SignedDuration = SignedDuration::from_secs(15),
        /// How long one invocation waits. By default as long as it may, as fewer hops cost fewer
        /// calls.
        HOP_SECONDS: seconds!(10..=840) => hop: SignedDuration = SignedDuration::from_secs(840),
        /// What happens to the lifecycle action at the deadline.
        ON_TIMEOUT: word!(OnTimeout) => on_timeout: OnTimeout = OnTimeout::Continue,
        /// What happens to standalone tasks.
        STANDALONE_TASKS: word!(StandaloneTasks) =>
            standalone_tasks: StandaloneTasks = StandaloneTasks::Wait,
        /// The topic for notices to people.
        NOTIFICATION_TOPIC_ARN: TOPIC_ARN => notification_topic: Option<TopicArn> = None,
        /// The form of these notices.
        NOTIFICATION_FORMAT: FORMAT =>
            notification_format: NotificationFormat = NotificationFormat::Text,
        /// The CloudWatch namespace of the metrics.
        METRICS_NAMESPACE: NAMESPACE => metrics_namespace: String = DEFAULT_NAMESPACE.to_owned(),
        /// Whether metrics have the cluster as a dimension as well. Each is one more to be paid for.
        METRICS_BY_CLUSTER: BOOLEAN => metrics_by_cluster: bool = true,
    }
}

impl LifecycleSettings {
    /// Whether the actions of a hook are ours. A group may have hooks of other tools as well, and
    /// EventBridge gets the actions of all of them.
    pub fn is_own_hook(&self, hook: &HookName) -> bool {
        self.hooks.as_ref().is_none_or(|hooks| hooks.contains(hook))
    }
}

const HOOKS: Whole<BTreeSet<HookName>> = Whole {
    expected: "names of lifecycle hooks, each 1 to 255 letters, digits, hyphens, underscores and \
        slashes, separated by commas, each once",
    parse: hooks,
};

fn hooks(text: &str) -> Option<BTreeSet<HookName>> {
    let names: Vec<_> = text.split(',').map(str::trim).collect();
    let distinct: BTreeSet<_> = names.iter().copied().map(HookName::new).collect();
    let is_valid = names.iter().copied().all(is_hook_name) && distinct.len() == names.len();
    is_valid.then_some(distinct)
}

/// The rule is that of the Auto Scaling API, `PutLifecycleHook.LifecycleHookName`.
fn is_hook_name(text: &str) -> bool {
    (1..=255).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'/'))
}

/// The longest that a drain may take: the global time-out of a lifecycle action (EC2 Auto Scaling
/// User Guide, lifecycle-hooks).
pub const DRAIN_TIMEOUT_MAX: SignedDuration = SignedDuration::from_secs(172_800);

vocabulary! {
    /// What happens to the lifecycle action of a drain that gives up.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum OnTimeout {
        /// It is completed with CONTINUE: the instance goes, with what still runs on it.
        Continue = "continue",
        /// It is completed with ABANDON, which cancels the other hooks; a group may retain the
        /// instance then.
        Abandon = "abandon",
        /// The container instance is set ACTIVE again and the action is left to its own time-out.
        Reactivate = "reactivate",
        /// As `abandon`, where the group's instance lifecycle policy retains the instance then;
        /// elsewhere as `continue`.
        Retain = "retain",
    }
}

vocabulary! {
    /// What happens to standalone tasks, which DRAINING leaves alone.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum StandaloneTasks {
        /// They are waited for.
        Wait = "wait",
        /// They are stopped, and waited for.
        Stop = "stop",
        /// They are not waited for.
        Ignore = "ignore",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::settings::SettingsError;

    fn read(variables: &[(&str, &str)]) -> Result<LifecycleSettings, SettingsError> {
        let variables: HashMap<_, _> = variables.iter().copied().collect();
        LifecycleSettings::from_lookup(|key| variables.get(key).map(|&value| value.to_owned()))
    }

    #[test]
    fn the_lifecycle_drainer_reads_its_variables_and_names_every_wrong_one() {
        assert_eq!(read(&[]), Ok(LifecycleSettings::default()));

        let set = read(&[
            (LIFECYCLE_HOOKS, "ebb-drain, team/drain_2"),
            (DRAIN_TIMEOUT_SECONDS, "172800"),
            (POLL_INTERVAL_SECONDS, "1"),
            (HOP_SECONDS, "10"),
            (ON_TIMEOUT, "reactivate"),
            (STANDALONE_TASKS, "stop"),
            (NOTIFICATION_FORMAT, "json"),
        ]);
        let hooks = ["ebb-drain", "team/drain_2"].map(HookName::new);
        let expected = LifecycleSettings {
            hooks: Some(hooks.into()),
            drain_timeout: DRAIN_TIMEOUT_MAX,
            poll_interval: SignedDuration::from_secs(1),
            hop: SignedDuration::from_secs(10),
            on_timeout: OnTimeout::Reactivate,
            standalone_tasks: StandaloneTasks::Stop,
            notification_format: NotificationFormat::Json,
            ..LifecycleSettings::default()
        };
        assert_eq!(set, Ok(expected));

        let wrong = LifecycleSettings::VARIABLES.map(|variable| (variable, "0 or so,"));
        assert_eq!(read(&wrong).unwrap_err().problems.len(), wrong.len());
        for (variable, value) in [
            (LIFECYCLE_HOOKS, ""),
            (LIFECYCLE_HOOKS, "ebb-drain,"),
            (LIFECYCLE_HOOKS, "ebb-drain,ebb-drain"),
            (LIFECYCLE_HOOKS, "ebb drain"),
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

    #[test]
    fn every_hook_is_ours_unless_some_are_named() {
        let is_own = |settings: LifecycleSettings| {
            ["ebb-drain", "backup"].map(|name| settings.is_own_hook(&HookName::new(name)))
        };
        assert_eq!(is_own(read(&[]).unwrap()), [true, true]);
        assert_eq!(is_own(read(&[(LIFECYCLE_HOOKS, "ebb-drain")]).unwrap()), [true, false]);
    }
}
