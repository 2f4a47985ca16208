//! The settings of each function, read once at start from environment variables through a lookup function.
//!
//! All problems are reported at once. A wrong value is never replaced by the default, and neither is an empty one:
//! an empty `ECS_CLUSTERS` must not mean every cluster.

mod reaper;

use std::collections::BTreeSet;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use jiff::SignedDuration;

pub use self::reaper::*;
use crate::ids::{Cluster, GroupName, TopicArn};

/// Clusters to look in, by name or ARN. Unset: every cluster of the Region.
pub const ECS_CLUSTERS: &str = "ECS_CLUSTERS";
/// `true`: log what would be done, change nothing.
pub const DRY_RUN: &str = "DRY_RUN";
/// `true`: treat rebalance recommendations like interruption notices.
pub const DRAIN_ON_REBALANCE: &str = "DRAIN_ON_REBALANCE";
/// The on-demand Auto Scaling group to raise by one for each interrupted container instance.
pub const FALLBACK_ASG: &str = "FALLBACK_ASG";
/// The SNS topic for notices to people.
pub const NOTIFICATION_TOPIC_ARN: &str = "NOTIFICATION_TOPIC_ARN";
/// The CloudWatch namespace of the metrics.
pub const METRICS_NAMESPACE: &str = "METRICS_NAMESPACE";

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

/// The settings of the `spot-drainer`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpotSettings {
    /// Clusters to look in; `None` is every cluster of the Region. Read from `ECS_CLUSTERS`.
    pub clusters: Option<Vec<Cluster>>,
    /// Whether to change nothing. Read from `DRY_RUN`, default `false`.
    pub dry_run: bool,
    /// Whether rebalance recommendations count as interruptions. Read from `DRAIN_ON_REBALANCE`, default `false`.
    pub drain_on_rebalance: bool,
    /// The group to raise by one for each interrupted container instance. Read from `FALLBACK_ASG`.
    pub fallback_group: Option<GroupName>,
    /// The topic for notices to people. Read from `NOTIFICATION_TOPIC_ARN`.
    pub notification_topic: Option<TopicArn>,
    /// The CloudWatch namespace of the metrics. Read from `METRICS_NAMESPACE`, default `Ebb`.
    pub metrics_namespace: String,
}

impl Default for SpotSettings {
    fn default() -> Self {
        Self {
            clusters: None,
            dry_run: false,
            drain_on_rebalance: false,
            fallback_group: None,
            notification_topic: None,
            metrics_namespace: "Ebb".to_owned(),
        }
    }
}

impl SpotSettings {
    /// The variables that [`SpotSettings::from_lookup`] reads.
    pub const VARIABLES: [&str; 6] = [
        ECS_CLUSTERS,
        DRY_RUN,
        DRAIN_ON_REBALANCE,
        FALLBACK_ASG,
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
            drain_on_rebalance: reader
                .read(DRAIN_ON_REBALANCE, BOOLEAN_EXPECTED, boolean)
                .unwrap_or(default.drain_on_rebalance),
            fallback_group: reader.read(FALLBACK_ASG, GROUP_NAME_EXPECTED, group_name),
            notification_topic: reader.read(NOTIFICATION_TOPIC_ARN, TOPIC_ARN_EXPECTED, topic_arn),
            metrics_namespace: reader
                .read(METRICS_NAMESPACE, NAMESPACE_EXPECTED, namespace)
                .unwrap_or(default.metrics_namespace),
        };
        reader.finish(settings)
    }
}

/// Everything that is wrong with the settings.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
pub struct SettingsError {
    /// One entry a wrong variable.
    pub problems: Vec<Problem>,
}

/// A variable with a wrong value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The variable's name.
    pub variable: &'static str,
    /// Its value.
    pub value: String,
    /// What a value must be.
    pub expected: &'static str,
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("read the settings: ")?;
        for (number, Problem { variable, value, expected }) in self.problems.iter().enumerate() {
            let separator = if number == 0 { "" } else { "; " };
            write!(f, "{separator}{variable} is {value:?}, expected {expected}")?;
        }
        Ok(())
    }
}

/// What a `main` that returns this error prints is its `Debug` text, so this is the text for people.
impl fmt::Debug for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

struct Reader<L> {
    lookup: L,
    problems: Vec<Problem>,
}

impl<L: Fn(&str) -> Option<String>> Reader<L> {
    /// Reads one variable: `None` if it is unset or wrong, and a wrong one is noted.
    fn read<T>(
        &mut self,
        variable: &'static str,
        expected: &'static str,
        parse: fn(&str) -> Option<T>,
    ) -> Option<T> {
        let value = (self.lookup)(variable)?;
        let parsed = parse(&value);
        if parsed.is_none() {
            self.problems.push(Problem { variable, value, expected });
        }
        parsed
    }

    fn finish<T>(self, settings: T) -> Result<T, SettingsError> {
        if self.problems.is_empty() {
            Ok(settings)
        } else {
            Err(SettingsError { problems: self.problems })
        }
    }
}

const BOOLEAN_EXPECTED: &str = "`true` or `false`";

fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

fn seconds(text: &str, range: RangeInclusive<i64>) -> Option<SignedDuration> {
    number(text, range).map(SignedDuration::from_secs)
}

/// A whole number, by its digits alone: `+1` is none.
fn number<T: FromStr + PartialOrd>(text: &str, range: RangeInclusive<T>) -> Option<T> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| digits && range.contains(number))
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

const CLUSTERS_EXPECTED: &str = "cluster names (1 to 255 letters, digits, hyphens and underscores) or cluster ARNs, separated by commas, each once";

fn clusters(text: &str) -> Option<Vec<Cluster>> {
    let clusters: Vec<_> = text
        .split(',')
        .map(str::trim)
        .map(|item| is_cluster(item).then(|| Cluster::new(item)))
        .collect::<Option<_>>()?;
    let distinct: BTreeSet<_> = clusters.iter().map(Cluster::name).collect();
    (distinct.len() == clusters.len()).then_some(clusters)
}

/// The rule for names is that of the ECS API, `CreateCluster.clusterName`.
fn is_cluster(text: &str) -> bool {
    let is_name = |name: &str| {
        (1..=255).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    match arn_resource(text, "ecs") {
        Some(resource) => resource.strip_prefix("cluster/").is_some_and(is_name),
        None => is_name(text),
    }
}

const GROUP_NAME_EXPECTED: &str =
    "the name of an Auto Scaling group: 1 to 255 printable characters without a colon";

/// The rule is that of the Auto Scaling API, `CreateAutoScalingGroup.AutoScalingGroupName`.
fn group_name(text: &str) -> Option<GroupName> {
    let characters = text.chars().count();
    let valid =
        (1..=255).contains(&characters) && text.trim() == text && !text.contains(char::is_control);
    (valid && !text.contains(':')).then(|| GroupName::new(text))
}

const TOPIC_ARN_EXPECTED: &str = "the ARN of an SNS topic";

fn topic_arn(text: &str) -> Option<TopicArn> {
    let name = arn_resource(text, "sns")?;
    (!name.is_empty() && !name.contains(':')).then(|| TopicArn::new(text))
}

const NAMESPACE_EXPECTED: &str = "a CloudWatch namespace: 1 to 255 of letters, digits and . - _ / # : and space, not beginning with AWS/";

/// The rule is that of the CloudWatch User Guide, `cloudwatch_concepts`; `AWS/` is reserved for AWS services.
fn namespace(text: &str) -> Option<String> {
    let allowed = |byte: u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'.' | b'-' | b'_' | b'/' | b'#' | b':' | b' ')
    };
    let valid = (1..=255).contains(&text.len()) && text.bytes().all(allowed) && text.trim() == text;
    (valid && !text.starts_with("AWS/")).then(|| text.to_owned())
}

/// What follows `arn:PARTITION:SERVICE:REGION:ACCOUNT:`, if the text is an ARN of that service.
fn arn_resource<'a>(text: &'a str, service: &str) -> Option<&'a str> {
    let mut parts = text.splitn(6, ':');
    let is_arn = parts.next() == Some("arn")
        && parts.next().is_some_and(|partition| partition.starts_with("aws"))
        && parts.next() == Some(service)
        && parts.next().is_some_and(|region| !region.is_empty())
        && parts.next().is_some_and(|account| account.len() == 12);
    parts.next().filter(|_| is_arn)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<SpotSettings, SettingsError> {
        let variables: HashMap<_, _> = variables.iter().copied().collect();
        SpotSettings::from_lookup(|key| variables.get(key).map(|&value| value.to_owned()))
    }

    #[test]
    fn nothing_set_gives_the_defaults() {
        assert_eq!(read(&[]), Ok(SpotSettings::default()));
    }

    #[test]
    fn every_variable_is_read() {
        let topic = "arn:aws-cn:sns:cn-north-1:111122223333:drains";
        let settings = read(&[
            (
                ECS_CLUSTERS,
                "shop, arn:aws-us-gov:ecs:us-gov-west-1:111122223333:cluster/back_office-2",
            ),
            (DRY_RUN, "true"),
            (DRAIN_ON_REBALANCE, "true"),
            (FALLBACK_ASG, "shop on-demand"),
            (NOTIFICATION_TOPIC_ARN, topic),
            (METRICS_NAMESPACE, "Platform/Ebb"),
        ]);

        let clusters =
            ["shop", "arn:aws-us-gov:ecs:us-gov-west-1:111122223333:cluster/back_office-2"];
        let expected = SpotSettings {
            clusters: Some(clusters.map(Cluster::new).to_vec()),
            dry_run: true,
            drain_on_rebalance: true,
            fallback_group: Some(GroupName::new("shop on-demand")),
            notification_topic: Some(TopicArn::new(topic)),
            metrics_namespace: "Platform/Ebb".to_owned(),
        };
        assert_eq!(settings, Ok(expected));
    }

    #[test]
    fn every_wrong_variable_is_named_with_its_value_and_what_was_expected() {
        let error = read(&[
            (ECS_CLUSTERS, "shop,,back"),
            (DRY_RUN, "yes"),
            (DRAIN_ON_REBALANCE, "TRUE"),
            (FALLBACK_ASG, "arn:aws:autoscaling:eu-west-1"),
            (NOTIFICATION_TOPIC_ARN, "drains"),
            (METRICS_NAMESPACE, "AWS/Ebb"),
        ])
        .unwrap_err();

        insta::assert_snapshot!(error.to_string().replace("; ", "\n"), @r#"
        read the settings: ECS_CLUSTERS is "shop,,back", expected cluster names (1 to 255 letters, digits, hyphens and underscores) or cluster ARNs, separated by commas, each once
        DRY_RUN is "yes", expected `true` or `false`
        DRAIN_ON_REBALANCE is "TRUE", expected `true` or `false`
        FALLBACK_ASG is "arn:aws:autoscaling:eu-west-1", expected the name of an Auto Scaling group: 1 to 255 printable characters without a colon
        NOTIFICATION_TOPIC_ARN is "drains", expected the ARN of an SNS topic
        METRICS_NAMESPACE is "AWS/Ebb", expected a CloudWatch namespace: 1 to 255 of letters, digits and . - _ / # : and space, not beginning with AWS/
        "#);
        assert_eq!(error.problems.len(), SpotSettings::VARIABLES.len());
    }

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

    #[test]
    fn an_empty_value_is_wrong_and_never_the_default() {
        for variable in SpotSettings::VARIABLES {
            let error = read(&[(variable, "")]).unwrap_err();
            assert_eq!(error.problems.len(), 1, "{variable}");
        }
    }

    #[test]
    fn clusters_are_names_or_arns_and_each_is_named_once() {
        for wrong in [
            "shop prod",
            "shop;prod",
            "shop,shop",
            "shop,arn:aws:ecs:eu-west-1:111122223333:cluster/shop",
            "arn:aws:ecs:eu-west-1:111122223333:service/shop",
            "arn:aws:sns:eu-west-1:111122223333:cluster/shop",
        ] {
            assert!(read(&[(ECS_CLUSTERS, wrong)]).is_err(), "{wrong}");
        }
    }
}
