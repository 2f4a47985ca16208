//! The settings of each function, read once at start from environment variables through a lookup function.
//!
//! All problems are reported at once. A wrong value is never replaced by the default, and neither is an empty one:
//! an empty `ECS_CLUSTERS` must not mean every cluster.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use jiff::SignedDuration;

use crate::ids::{Cluster, GroupName, TopicArn};

/// Clusters to look in, by name or ARN. Unset: every cluster of the Region.
pub const ECS_CLUSTERS: &str = "ECS_CLUSTERS";
/// `true`: log what would be done, change nothing.
pub const DRY_RUN: &str = "DRY_RUN";
/// The SNS topic for notices to people.
pub const NOTIFICATION_TOPIC_ARN: &str = "NOTIFICATION_TOPIC_ARN";
/// The CloudWatch namespace of the metrics.
pub const METRICS_NAMESPACE: &str = "METRICS_NAMESPACE";

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

pub(crate) struct Reader<L> {
    pub(crate) lookup: L,
    pub(crate) problems: Vec<Problem>,
}

impl<L: Fn(&str) -> Option<String>> Reader<L> {
    /// Reads one variable: `None` if it is unset or wrong, and a wrong one is noted.
    pub(crate) fn read<T>(
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

    pub(crate) fn finish<T>(self, settings: T) -> Result<T, SettingsError> {
        if self.problems.is_empty() {
            Ok(settings)
        } else {
            Err(SettingsError { problems: self.problems })
        }
    }
}

pub(crate) const BOOLEAN_EXPECTED: &str = "`true` or `false`";

pub(crate) fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

pub(crate) fn seconds(text: &str, range: RangeInclusive<i64>) -> Option<SignedDuration> {
    number(text, range).map(SignedDuration::from_secs)
}

/// A whole number, by its digits alone: `+1` is none.
pub(crate) fn number<T: FromStr + PartialOrd>(text: &str, range: RangeInclusive<T>) -> Option<T> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| digits && range.contains(number))
}

pub(crate) const CLUSTERS_EXPECTED: &str = "cluster names (1 to 255 letters, digits, hyphens and underscores) or cluster ARNs, separated by commas, each once";

pub(crate) fn clusters(text: &str) -> Option<Vec<Cluster>> {
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

pub(crate) const GROUP_NAME_EXPECTED: &str =
    "the name of an Auto Scaling group: 1 to 255 printable characters without a colon";

/// The rule is that of the Auto Scaling API, `CreateAutoScalingGroup.AutoScalingGroupName`.
pub(crate) fn group_name(text: &str) -> Option<GroupName> {
    let characters = text.chars().count();
    let valid =
        (1..=255).contains(&characters) && text.trim() == text && !text.contains(char::is_control);
    (valid && !text.contains(':')).then(|| GroupName::new(text))
}

pub(crate) const TOPIC_ARN_EXPECTED: &str = "the ARN of an SNS topic";

pub(crate) fn topic_arn(text: &str) -> Option<TopicArn> {
    let name = arn_resource(text, "sns")?;
    (!name.is_empty() && !name.contains(':')).then(|| TopicArn::new(text))
}

pub(crate) const NAMESPACE_EXPECTED: &str = "a CloudWatch namespace: 1 to 255 of letters, digits and . - _ / # : and space, not beginning with AWS/";

/// The rule is that of the CloudWatch User Guide, `cloudwatch_concepts`; `AWS/` is reserved for AWS services.
pub(crate) fn namespace(text: &str) -> Option<String> {
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
