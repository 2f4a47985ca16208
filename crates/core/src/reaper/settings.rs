//! The settings of the `scale-in-reaper`.

use std::collections::{BTreeMap, BTreeSet};

use ebb_planner::Policy;
use jiff::SignedDuration;
use serde::Serialize;
use serde_json::Value;

use crate::ids::{Cluster, GroupName, TopicArn};
use crate::settings::{
    BOOLEAN_EXPECTED, CLUSTERS_EXPECTED, ECS_CLUSTERS, METRICS_NAMESPACE, NAMESPACE_EXPECTED,
    NOTIFICATION_TOPIC_ARN, Problem, Reader, SettingsError, TOPIC_ARN_EXPECTED, boolean, clusters,
    group_name, namespace, number, seconds, topic_arn,
};

/// Whether sweeps change anything.
pub const REAPER_MODE: &str = "REAPER_MODE";
/// The share of CPU to leave free, in percent.
pub const HEADROOM_CPU_PERCENT: &str = "HEADROOM_CPU_PERCENT";
/// The share of memory to leave free, in percent.
pub const HEADROOM_MEMORY_PERCENT: &str = "HEADROOM_MEMORY_PERCENT";
/// The share of a cluster's usable instances that one sweep may remove, in percent.
pub const MAX_REMOVALS_PERCENT: &str = "MAX_REMOVALS_PERCENT";
/// How many usable instances are always left in a cluster.
pub const MIN_INSTANCES: &str = "MIN_INSTANCES";
/// Seconds since its registration before which a container instance is kept.
pub const MIN_INSTANCE_AGE_SECONDS: &str = "MIN_INSTANCE_AGE_SECONDS";
/// The Auto Scaling groups that may be shrunk. Unset: every group.
pub const AUTO_SCALING_GROUPS: &str = "AUTO_SCALING_GROUPS";
/// `true`: groups under a capacity provider's managed scaling may be shrunk too.
pub const ALLOW_MANAGED_SCALING: &str = "ALLOW_MANAGED_SCALING";
/// `true`: an instance with standalone tasks may be removed, once they have ended.
pub const ALLOW_STANDALONE_TASKS: &str = "ALLOW_STANDALONE_TASKS";
/// What instance types cost an hour.
pub const INSTANCE_PRICES: &str = "INSTANCE_PRICES";

/// Whether a sweep changes anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReaperMode {
    /// It says what it would do, and changes nothing.
    Plan,
    /// It does it.
    Act,
}

/// The settings of the `scale-in-reaper`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReaperSettings {
    /// Clusters to sweep; `None` is every cluster of the Region. Read from `ECS_CLUSTERS`.
    pub clusters: Option<Vec<Cluster>>,
    /// Whether sweeps change anything. Read from `REAPER_MODE`, `plan` or `act`, default `plan`.
    pub mode: ReaperMode,
    /// The share of CPU to leave free. Read from `HEADROOM_CPU_PERCENT`, 0 to 90, default 20.
    pub headroom_cpu_percent: u32,
    /// The share of memory to leave free. Read from `HEADROOM_MEMORY_PERCENT`, 0 to 90, default 20.
    pub headroom_memory_percent: u32,
    /// The share of a cluster's usable instances that one sweep may remove, rounded up. Read from
    /// `MAX_REMOVALS_PERCENT`, 0 to 100, default 10.
    pub max_removals_percent: u32,
    /// How many usable instances are always left in a cluster. Read from `MIN_INSTANCES`, 0 to 5000, default 1.
    pub min_instances: usize,
    /// Younger instances are kept. Read from `MIN_INSTANCE_AGE_SECONDS`, 0 to 31536000, default 900.
    pub min_instance_age: SignedDuration,
    /// The only groups that may be shrunk; `None` is every group. Read from `AUTO_SCALING_GROUPS`.
    pub groups: Option<BTreeSet<GroupName>>,
    /// Whether groups under a capacity provider's managed scaling may be shrunk. Read from `ALLOW_MANAGED_SCALING`,
    /// default `false`.
    pub allow_managed_scaling: bool,
    /// Whether instances with standalone tasks may be removed, once those have ended. Read from
    /// `ALLOW_STANDALONE_TASKS`, default `false`.
    pub allow_standalone_tasks: bool,
    /// What an hour of each instance type costs, in millionths of a dollar. Read from `INSTANCE_PRICES`, a JSON object
    /// such as `{"m7g.large": 0.0816}`; empty by default.
    pub instance_prices: BTreeMap<String, u64>,
    /// The topic for notices to people. Read from `NOTIFICATION_TOPIC_ARN`.
    pub notification_topic: Option<TopicArn>,
    /// The CloudWatch namespace of the metrics. Read from `METRICS_NAMESPACE`, default `Ebb`.
    pub metrics_namespace: String,
}

impl Default for ReaperSettings {
    fn default() -> Self {
        let policy = Policy::default();
        Self {
            clusters: None,
            mode: ReaperMode::Plan,
            headroom_cpu_percent: policy.headroom_cpu_percent,
            headroom_memory_percent: policy.headroom_memory_percent,
            max_removals_percent: policy.max_removals_percent,
            min_instances: policy.min_instances,
            min_instance_age: policy.min_instance_age,
            groups: policy.groups,
            allow_managed_scaling: policy.allow_managed_scaling,
            allow_standalone_tasks: policy.allow_standalone_tasks,
            instance_prices: BTreeMap::new(),
            notification_topic: None,
            metrics_namespace: "Ebb".to_owned(),
        }
    }
}

impl ReaperSettings {
    /// The variables that [`ReaperSettings::from_lookup`] reads.
    pub const VARIABLES: [&str; 13] = [
        ECS_CLUSTERS,
        REAPER_MODE,
        HEADROOM_CPU_PERCENT,
        HEADROOM_MEMORY_PERCENT,
        MAX_REMOVALS_PERCENT,
        MIN_INSTANCES,
        MIN_INSTANCE_AGE_SECONDS,
        AUTO_SCALING_GROUPS,
        ALLOW_MANAGED_SCALING,
        ALLOW_STANDALONE_TASKS,
        INSTANCE_PRICES,
        NOTIFICATION_TOPIC_ARN,
        METRICS_NAMESPACE,
    ];

    /// Reads the settings from `lookup`, which returns the value of a variable or `None` if it is unset.
    ///
    /// # Errors
    /// Every variable with a wrong value, with that value and what was expected; of the prices every wrong one.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let mut reader = Reader { lookup, problems: Vec::new() };
        let default = Self::default();
        let settings = Self {
            clusters: reader.read(ECS_CLUSTERS, CLUSTERS_EXPECTED, clusters),
            mode: reader.read(REAPER_MODE, "`plan` or `act`", mode).unwrap_or(default.mode),
            headroom_cpu_percent: reader
                .read(HEADROOM_CPU_PERCENT, HEADROOM_EXPECTED, |text| number(text, 0..=90))
                .unwrap_or(default.headroom_cpu_percent),
            headroom_memory_percent: reader
                .read(HEADROOM_MEMORY_PERCENT, HEADROOM_EXPECTED, |text| number(text, 0..=90))
                .unwrap_or(default.headroom_memory_percent),
            max_removals_percent: reader
                .read(MAX_REMOVALS_PERCENT, "a whole number of percent from 0 to 100", |text| {
                    number(text, 0..=100)
                })
                .unwrap_or(default.max_removals_percent),
            min_instances: reader
                .read(MIN_INSTANCES, "a number of instances from 0 to 5000", |text| {
                    number(text, 0..=5_000)
                })
                .unwrap_or(default.min_instances),
            min_instance_age: reader
                .read(MIN_INSTANCE_AGE_SECONDS, "a number of seconds from 0 to 31536000", |text| {
                    seconds(text, 0..=31_536_000)
                })
                .unwrap_or(default.min_instance_age),
            groups: reader.read(AUTO_SCALING_GROUPS, GROUPS_EXPECTED, groups),
            allow_managed_scaling: reader
                .read(ALLOW_MANAGED_SCALING, BOOLEAN_EXPECTED, boolean)
                .unwrap_or(default.allow_managed_scaling),
            allow_standalone_tasks: reader
                .read(ALLOW_STANDALONE_TASKS, BOOLEAN_EXPECTED, boolean)
                .unwrap_or(default.allow_standalone_tasks),
            instance_prices: prices(&mut reader),
            notification_topic: reader.read(NOTIFICATION_TOPIC_ARN, TOPIC_ARN_EXPECTED, topic_arn),
            metrics_namespace: reader
                .read(METRICS_NAMESPACE, NAMESPACE_EXPECTED, namespace)
                .unwrap_or(default.metrics_namespace),
        };
        reader.finish(settings)
    }

    /// What a sweep may do.
    pub fn policy(&self) -> Policy {
        Policy {
            headroom_cpu_percent: self.headroom_cpu_percent,
            headroom_memory_percent: self.headroom_memory_percent,
            max_removals_percent: self.max_removals_percent,
            min_instances: self.min_instances,
            min_instance_age: self.min_instance_age,
            groups: self.groups.clone(),
            allow_managed_scaling: self.allow_managed_scaling,
            allow_standalone_tasks: self.allow_standalone_tasks,
            ..Policy::default()
        }
    }
}

fn mode(text: &str) -> Option<ReaperMode> {
    match text {
        "plan" => Some(ReaperMode::Plan),
        "act" => Some(ReaperMode::Act),
        _ => None,
    }
}

const HEADROOM_EXPECTED: &str = "a whole number of percent from 0 to 90";

const GROUPS_EXPECTED: &str = "names of Auto Scaling groups, each 1 to 255 printable characters without a colon or a comma, separated by commas, each once";

fn groups(text: &str) -> Option<BTreeSet<GroupName>> {
    let names: Vec<_> = text.split(',').map(str::trim).map(group_name).collect::<Option<_>>()?;
    let distinct: BTreeSet<_> = names.iter().cloned().collect();
    (distinct.len() == names.len()).then_some(distinct)
}

const PRICES_EXPECTED: &str = "a JSON object of instance types and what an hour of each costs in US dollars, such as {\"m7g.large\": 0.0816}";
const PRICE_EXPECTED: &str = "a price in US dollars an hour, above 0 and at most 10000";
const PRICE_MAX_USD: f64 = 10_000.0;

/// Each wrong price is a problem of its own, with the instance type that it is for.
fn prices(reader: &mut Reader<impl Fn(&str) -> Option<String>>) -> BTreeMap<String, u64> {
    let parse = |text: &str| match serde_json::from_str(text) {
        Ok(Value::Object(prices)) => Some(prices),
        _ => None,
    };
    let mut microusd = BTreeMap::new();
    for (instance_type, price) in
        reader.read(INSTANCE_PRICES, PRICES_EXPECTED, parse).unwrap_or_default()
    {
        match price.as_f64().filter(|usd| *usd > 0.0 && *usd <= PRICE_MAX_USD) {
            Some(usd) => {
                microusd.insert(instance_type, to_microusd(usd));
            }
            None => reader.problems.push(Problem {
                variable: INSTANCE_PRICES,
                value: format!("{instance_type}: {price}"),
                expected: PRICE_EXPECTED,
            }),
        }
    }
    microusd
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the price is above 0 and at most PRICE_MAX_USD"
)]
fn to_microusd(usd: f64) -> u64 {
    (usd * 1e6).round() as u64
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<ReaperSettings, SettingsError> {
        let variables: HashMap<_, _> = variables.iter().copied().collect();
        ReaperSettings::from_lookup(|key| variables.get(key).map(|&value| value.to_owned()))
    }

    #[test]
    fn nothing_set_gives_the_defaults_and_changes_nothing() {
        let settings = read(&[]).unwrap();
        assert_eq!(settings, ReaperSettings::default());
        assert_eq!(settings.mode, ReaperMode::Plan);
        assert_eq!(settings.policy(), Policy::default());
    }

    #[test]
    fn every_variable_is_read_and_reaches_the_policy() {
        let topic = "arn:aws:sns:eu-west-1:111122223333:sweeps";
        let settings = read(&[
            (ECS_CLUSTERS, "shop"),
            (REAPER_MODE, "act"),
            (HEADROOM_CPU_PERCENT, "0"),
            (HEADROOM_MEMORY_PERCENT, "90"),
            (MAX_REMOVALS_PERCENT, "100"),
            (MIN_INSTANCES, "3"),
            (MIN_INSTANCE_AGE_SECONDS, "0"),
            (AUTO_SCALING_GROUPS, "shop on-demand, shop-spot"),
            (ALLOW_MANAGED_SCALING, "true"),
            (ALLOW_STANDALONE_TASKS, "true"),
            (INSTANCE_PRICES, r#"{"m7g.large": 0.0816, "m7g.xlarge": 1}"#),
            (NOTIFICATION_TOPIC_ARN, topic),
            (METRICS_NAMESPACE, "Platform/Ebb"),
        ]);

        let groups = ["shop on-demand", "shop-spot"].map(GroupName::new);
        let expected = ReaperSettings {
            clusters: Some(vec![Cluster::new("shop")]),
            mode: ReaperMode::Act,
            headroom_cpu_percent: 0,
            headroom_memory_percent: 90,
            max_removals_percent: 100,
            min_instances: 3,
            min_instance_age: SignedDuration::ZERO,
            groups: Some(groups.into()),
            allow_managed_scaling: true,
            allow_standalone_tasks: true,
            instance_prices: [
                ("m7g.large".to_owned(), 81_600),
                ("m7g.xlarge".to_owned(), 1_000_000),
            ]
            .into(),
            notification_topic: Some(TopicArn::new(topic)),
            metrics_namespace: "Platform/Ebb".to_owned(),
        };
        assert_eq!(settings, Ok(expected.clone()));
        let policy = expected.policy();
        assert_eq!((policy.headroom_cpu_percent, policy.headroom_memory_percent), (0, 90));
        assert_eq!((policy.max_removals_percent, policy.min_instances), (100, 3));
        assert_eq!(
            (policy.min_instance_age, policy.groups),
            (expected.min_instance_age, expected.groups)
        );
        assert!(policy.allow_managed_scaling && policy.allow_standalone_tasks);
    }

    #[test]
    fn every_wrong_variable_is_named_and_so_is_every_wrong_price() {
        let error = read(&[
            (REAPER_MODE, "ACT"),
            (HEADROOM_CPU_PERCENT, "91"),
            (HEADROOM_MEMORY_PERCENT, "20%"),
            (MAX_REMOVALS_PERCENT, "101"),
            (MIN_INSTANCES, "-1"),
            (MIN_INSTANCE_AGE_SECONDS, "15m"),
            (AUTO_SCALING_GROUPS, "shop,,spot"),
            (ALLOW_MANAGED_SCALING, "yes"),
            (ALLOW_STANDALONE_TASKS, "1"),
            (
                INSTANCE_PRICES,
                r#"{"m7g.large": "0.08", "m7g.xlarge": 0, "m7g.2xlarge": 0.3, "m7g.4xlarge": null}"#,
            ),
        ])
        .unwrap_err();

        insta::assert_snapshot!(error.to_string().replace("; ", "\n"), @r#"
        read the settings: REAPER_MODE is "ACT", expected `plan` or `act`
        HEADROOM_CPU_PERCENT is "91", expected a whole number of percent from 0 to 90
        HEADROOM_MEMORY_PERCENT is "20%", expected a whole number of percent from 0 to 90
        MAX_REMOVALS_PERCENT is "101", expected a whole number of percent from 0 to 100
        MIN_INSTANCES is "-1", expected a number of instances from 0 to 5000
        MIN_INSTANCE_AGE_SECONDS is "15m", expected a number of seconds from 0 to 31536000
        AUTO_SCALING_GROUPS is "shop,,spot", expected names of Auto Scaling groups, each 1 to 255 printable characters without a colon or a comma, separated by commas, each once
        ALLOW_MANAGED_SCALING is "yes", expected `true` or `false`
        ALLOW_STANDALONE_TASKS is "1", expected `true` or `false`
        INSTANCE_PRICES is "m7g.4xlarge: null", expected a price in US dollars an hour, above 0 and at most 10000
        INSTANCE_PRICES is "m7g.large: \"0.08\"", expected a price in US dollars an hour, above 0 and at most 10000
        INSTANCE_PRICES is "m7g.xlarge: 0", expected a price in US dollars an hour, above 0 and at most 10000
        "#);
    }

    #[test]
    fn prices_that_are_no_object_are_wrong_as_a_whole() {
        for text in ["", "[]", "0.08", r#"{"m7g.large""#] {
            let error = read(&[(INSTANCE_PRICES, text)]).unwrap_err();
            assert_eq!(
                (error.problems.len(), error.problems[0].expected),
                (1, PRICES_EXPECTED),
                "{text}"
            );
        }
        assert_eq!(read(&[(INSTANCE_PRICES, "{}")]), Ok(ReaperSettings::default()));
    }

    #[test]
    fn an_empty_value_is_wrong_and_never_the_default() {
        for variable in ReaperSettings::VARIABLES {
            let error = read(&[(variable, "")]).unwrap_err();
            assert_eq!(error.problems.len(), 1, "{variable}");
        }
    }

    #[test]
    fn groups_are_named_once() {
        assert!(read(&[(AUTO_SCALING_GROUPS, "shop,shop")]).is_err());
    }
}
