//! How the settings of the functions are declared, and read once at start from environment
//! variables through a lookup function. Which settings there are is left to `spot::settings`,
//! `lifecycle::settings` and `reaper::settings`.
//!
//! All problems are reported at once. A wrong value is never replaced by the default, and neither
//! is an empty one: an empty `ECS_CLUSTERS` must not mean every cluster.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use crate::ids::{Cluster, GroupName, TopicArn};

/// Everything that is wrong with the settings.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
pub struct SettingsError {
    /// One entry per wrong value.
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

/// What a `main` that returns this error prints is its `Debug` text, so this is the text for
/// people.
impl fmt::Debug for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Declares the settings of a function, each of them once: the variable and its format, the field,
/// its type and its default. The struct, [`Default`], `VARIABLES`, `from_lookup` and a constant per
/// variable follow from it. What several of them contradict each other in is found by a `check`, which may ask
/// whether a variable is set.
macro_rules! settings {
    (
        $(#[$settings_doc:meta])*
        pub struct $settings:ident {
            $(
                $(#[$doc:meta])*
                $variable:ident: $format:expr => $field:ident: $type:ty = $default:expr,
            )+
        }
        $(check: $check:path)?
    ) => {
        $(
            #[doc = concat!(
                "The variable that [`", stringify!($settings), "::", stringify!($field),
                "`] is read from."
            )]
            pub const $variable: &str = stringify!($variable);
        )+

        $(#[$settings_doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $settings {
            $(
                $(#[$doc])*
                ///
                #[doc = concat!(
                    "Read from `", stringify!($variable), "`, by default `", stringify!($default),
                    "`."
                )]
                pub $field: $type,
            )+
        }

        impl Default for $settings {
            fn default() -> Self {
                Self { $($field: $default,)+ }
            }
        }

        impl $settings {
            #[doc = concat!("The variables that [`", stringify!($settings), "::from_lookup`] reads.")]
            pub const VARIABLES: [&str; [$($variable),+].len()] = [$($variable),+];

            /// Reads the settings from `lookup`, which returns the value of a variable or `None` if
            /// it is unset.
            ///
            /// # Errors
            /// Every variable with a wrong value, with that value and what was expected.
            pub fn from_lookup(
                lookup: impl Fn(&str) -> Option<String>,
            ) -> Result<Self, $crate::settings::SettingsError> {
                let mut settings = Self::default();
                let mut problems = Vec::new();
                let region = lookup($crate::settings::REGION);
                let region = region.as_deref();
                $(
                    if let Some(text) = lookup($variable) {
                        match $crate::settings::Format::read(&$format, $variable, &text, region) {
                            // Into an `Option` where the setting may be left out.
                            Ok(value) => settings.$field = value.into(),
                            Err(wrong) => problems.extend(wrong),
                        }
                    }
                )+
                $(problems.extend($check(&settings, |variable| lookup(variable).is_some()));)?
                if problems.is_empty() {
                    Ok(settings)
                } else {
                    Err($crate::settings::SettingsError { problems })
                }
            }
        }
    };
}
pub(crate) use settings;

/// The variable by which Lambda tells a function its Region (Lambda Developer Guide,
/// `configuration-envvars`).
pub(crate) const REGION: &str = "AWS_REGION";

/// How the value of a variable is read.
pub(crate) trait Format {
    /// What it is read into.
    type Value;

    /// Reads a value, for a function in `region`, if that is known.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    fn read(
        &self,
        variable: &'static str,
        text: &str,
        region: Option<&str>,
    ) -> Result<Self::Value, Vec<Problem>>;
}

/// A format whose values are right or wrong as a whole.
pub(crate) struct Whole<T> {
    /// What a value must be.
    pub(crate) expected: &'static str,
    /// Reads a value; `None` if it is wrong.
    pub(crate) parse: fn(&str) -> Option<T>,
}

impl<T> Format for Whole<T> {
    type Value = T;

    fn read(
        &self,
        variable: &'static str,
        text: &str,
        _region: Option<&str>,
    ) -> Result<T, Vec<Problem>> {
        let expected = self.expected;
        (self.parse)(text)
            .ok_or_else(|| vec![Problem { variable, value: text.to_owned(), expected }])
    }
}

/// A format whose values may be ARNs, separated by commas. ECS and SNS know only what is in the
/// Region that they are asked in, so those of another are wrong.
pub(crate) struct Regional<T>(Whole<T>);

impl<T> Format for Regional<T> {
    type Value = T;

    fn read(
        &self,
        variable: &'static str,
        text: &str,
        region: Option<&str>,
    ) -> Result<T, Vec<Problem>> {
        let value = self.0.read(variable, text, region)?;
        let mut arns = text.split(',').filter_map(|part| Arn::parse(part.trim()));
        match region {
            Some(region) if arns.any(|arn| arn.region != region) => {
                let expected = "what is in the function's own Region (AWS_REGION)";
                Err(vec![Problem { variable, value: text.to_owned(), expected }])
            }
            _ => Ok(value),
        }
    }
}

/// One of the words of a [`vocabulary`](crate::vocabulary).
macro_rules! word {
    ($vocabulary:ty) => {
        $crate::settings::Whole {
            expected: <$vocabulary>::EXPECTED,
            parse: <$vocabulary>::from_word,
        }
    };
}
pub(crate) use word;

pub(crate) const BOOLEAN: Whole<bool> = Whole {
    expected: "`true` or `false`",
    parse: |text| match text {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    },
};

/// A whole number within bounds. The text says what is counted, such as "a number of instances".
macro_rules! number {
    ($type:ty, $counted:literal, $least:literal..=$most:literal) => {
        $crate::settings::Whole {
            expected: concat!($counted, " from ", $least, " to ", $most),
            parse: |text| $crate::settings::whole_number::<$type>(text, $least..=$most),
        }
    };
}
pub(crate) use number;

/// A number of seconds within bounds.
macro_rules! seconds {
    ($least:literal..=$most:literal) => {
        $crate::settings::Whole {
            expected: concat!("a number of seconds from ", $least, " to ", $most),
            parse: |text| {
                $crate::settings::whole_number(text, $least..=$most)
                    .map(::jiff::SignedDuration::from_secs)
            },
        }
    };
}
pub(crate) use seconds;

/// A whole number, by its digits alone: `+1` is none.
pub(crate) fn whole_number<T: FromStr + PartialOrd>(
    text: &str,
    range: RangeInclusive<T>,
) -> Option<T> {
    let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| is_digits && range.contains(number))
}

pub(crate) const CLUSTERS: Regional<Vec<Cluster>> = Regional(Whole {
    expected: "cluster names (1 to 255 letters, digits, hyphens and underscores) or cluster ARNs \
        of one account, separated by commas, each once",
    parse: clusters,
});

fn clusters(text: &str) -> Option<Vec<Cluster>> {
    let clusters: Vec<_> = text
        .split(',')
        .map(str::trim)
        .map(|cluster| is_cluster(cluster).then(|| Cluster::new(cluster)))
        .collect::<Option<_>>()?;
    // By name, so that a name and an ARN of one cluster count as twice the same.
    let distinct: BTreeSet<_> = clusters.iter().map(Cluster::name).collect();
    let arns = clusters.iter().filter_map(|cluster| Arn::parse(cluster.as_str()));
    // A function reaches the clusters of its own account only.
    let accounts: BTreeSet<_> = arns.map(|arn| arn.account).collect();
    (distinct.len() == clusters.len() && accounts.len() <= 1).then_some(clusters)
}

fn is_cluster(text: &str) -> bool {
    match Arn::parse(text) {
        Some(Arn { service: "ecs", resource, .. }) => {
            resource.strip_prefix("cluster/").is_some_and(is_cluster_name)
        }
        Some(_) => false,
        None => is_cluster_name(text),
    }
}

/// The rule is that of the ECS API, `CreateCluster.clusterName`.
fn is_cluster_name(text: &str) -> bool {
    (1..=255).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

pub(crate) const GROUP_NAME: Whole<GroupName> = Whole {
    expected: "the name of an Auto Scaling group: 1 to 255 printable characters without a colon",
    parse: group_name,
};

/// The rule is that of the Auto Scaling API, `CreateAutoScalingGroup.AutoScalingGroupName`.
pub(crate) fn group_name(text: &str) -> Option<GroupName> {
    let is_valid = (1..=255).contains(&text.chars().count())
        && text.trim() == text
        && !text.contains(char::is_control)
        && !text.contains(':');
    is_valid.then(|| GroupName::new(text))
}

pub(crate) const TOPIC_ARN: Regional<TopicArn> = Regional(Whole {
    expected: "the ARN of a standard SNS topic: a FIFO topic, whose name ends in `.fifo`, takes no \
        message without a group",
    parse: topic_arn,
});

/// The rule about FIFO topics is that of the SNS API, `Publish.MessageGroupId`.
fn topic_arn(text: &str) -> Option<TopicArn> {
    let Arn { service, resource: name, .. } = Arn::parse(text)?;
    let is_standard = !name.is_empty() && !name.contains(':') && !name.ends_with(".fifo");
    (service == "sns" && is_standard).then(|| TopicArn::new(text))
}

pub(crate) const NAMESPACE: Whole<String> = Whole {
    expected: "a CloudWatch namespace: 1 to 255 of letters, digits and . - _ / # : and space, \
        not beginning with AWS/",
    parse: namespace,
};

/// The namespace unless the operator chooses another.
pub(crate) const DEFAULT_NAMESPACE: &str = "Ebb";

/// The rule is that of the CloudWatch User Guide, `cloudwatch_concepts`; `AWS/` is reserved for AWS
/// services.
fn namespace(text: &str) -> Option<String> {
    let is_valid = (1..=255).contains(&text.len())
        && text.bytes().all(is_in_namespaces)
        && text.trim() == text
        && !text.starts_with("AWS/");
    is_valid.then(|| text.to_owned())
}

fn is_in_namespaces(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'/' | b'#' | b':' | b' ')
}

/// `arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE`, of a service that has its things in Regions.
struct Arn<'a> {
    service: &'a str,
    region: &'a str,
    account: &'a str,
    resource: &'a str,
}

impl<'a> Arn<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let parts: Vec<_> = text.splitn(6, ':').collect();
        let ["arn", partition, service, region, account, resource] = parts[..] else {
            return None;
        };
        let is_valid = partition.starts_with("aws") && !region.is_empty() && account.len() == 12;
        is_valid.then_some(Self { service, region, account, resource })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_a_standard_one_with_a_region_and_an_account_of_a_partition_of_aws() {
        let is_topic = |text| topic_arn(text).is_some();
        assert!(is_topic("arn:aws:sns:eu-west-1:111122223333:ebb"));
        assert!(is_topic("arn:aws-cn:sns:cn-north-1:111122223333:ebb"));
        for text in [
            "arn:other:sns:eu-west-1:111122223333:ebb",
            "arn:aws:sns::111122223333:ebb",
            "arn:aws:sns:eu-west-1:11112222333:ebb",
            "arn:aws:sqs:eu-west-1:111122223333:ebb",
            "arn:aws:sns:eu-west-1:111122223333:",
            "arn:aws:sns:eu-west-1:111122223333:ebb:0f1e2d3c",
            "arn:aws:sns:eu-west-1:111122223333:ebb.fifo",
        ] {
            assert!(!is_topic(text), "{text}");
        }
    }
}
