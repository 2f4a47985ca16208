//! The settings of the `scale-in-reaper`: one declaration each.
//!
//! What they share with the other functions is in [`crate::settings`]; what they do is left to the
//! decisions that take them.

use std::collections::{BTreeMap, BTreeSet};

use ebb_planner::{Policy, TaskHeadroom};
use jiff::{SignedDuration, Timestamp};

use crate::fallback_groups::{FallbackGroups, FallbackPairs};
use crate::ids::{Cluster, GroupName, TopicArn};
use crate::notification::{FORMAT, NotificationFormat};
use crate::prices::microusd;
use crate::reaper::budgets::setting::BudgetsFormat;
use crate::reaper::budgets::{Allowance, Budgets, DisruptionReason};
use crate::reaper::managed_scaling::ManagedScalingMode;
use crate::settings::{
    BOOLEAN, CLUSTERS, DEFAULT_NAMESPACE, Format, NAMESPACE, Problem, TOPIC_ARN, Whole, group_name,
    number, seconds, settings, word,
};
use crate::unique_object::UniqueObject;
use crate::vocabulary::vocabulary;

/// Half of a cluster at most: ECS's cluster auto scaling takes less than half of the empty instances
/// a minute (ECS Developer Guide, managed-scaling-behavior).
const MAX_EMPTY_REMOVALS: u32 = 50;

settings! {
    /// The settings of the `scale-in-reaper`.
    pub struct ReaperSettings {
        /// Clusters to sweep; `None` is every cluster of the Region.
        ECS_CLUSTERS: CLUSTERS => clusters: Option<Vec<Cluster>> = None,
        /// Whether the drainers only log what they would do. Sweeps must not act then.
        DRY_RUN: BOOLEAN => dry_run: bool = false,
        /// The group that stands in for each Spot group, and comes back for it.
        FALLBACK_AUTO_SCALING_GROUPS: FallbackPairs =>
            fallback_groups: FallbackGroups = FallbackGroups::default(),
        /// In how many sweeps in a row a Spot group must be whole before its fallback group comes
        /// back.
        FALLBACK_WHOLE_SWEEPS: number!(u32, "a number of sweeps", 1..=100) =>
            fallback_whole_sweeps: u32 = 2,
        /// Whether sweeps change anything.
        REAPER_MODE: word!(ReaperMode) => mode: ReaperMode = ReaperMode::Plan,
        /// The share of CPU to leave free, in percent.
        HEADROOM_CPU_PERCENT: number!(u32, "a whole number of percent", 0..=90) =>
            headroom_cpu_percent: u32 = Policy::default().headroom_cpu_percent,
        /// The share of memory to leave free, in percent.
        HEADROOM_MEMORY_PERCENT: number!(u32, "a whole number of percent", 0..=90) =>
            headroom_memory_percent: u32 = Policy::default().headroom_memory_percent,
        /// For how many more of a cluster's largest task there must be room after a plan, each as a
        /// whole on one instance.
        HEADROOM_LARGEST_TASKS: number!(u32, "a number of tasks", 0..=1_000) =>
            headroom_largest_tasks: u32 = 0,
        /// The same for services by name.
        HEADROOM_TASKS: TaskCounts => headroom_tasks: BTreeMap<String, u32> = BTreeMap::new(),
        /// The share of a cluster's usable instances that one sweep may remove, in percent, rounded
        /// up.
        MAX_REMOVALS_PERCENT: number!(u32, "a whole number of percent", 0..=100) =>
            max_removals_percent: u32 = Policy::default().max_removals_percent,
        /// The share of a cluster's usable instances that one sweep may remove beyond that, in
        /// percent, rounded up, if nothing but daemon tasks is on them.
        MAX_EMPTY_REMOVALS_PERCENT: number!(u32, "a whole number of percent", 0..=100) =>
            max_empty_removals_percent: u32 = MAX_EMPTY_REMOVALS,
        /// How many instances may go at some times or for some reasons, in place of those shares.
        BUDGETS: BudgetsFormat => budgets: Budgets = Budgets::default(),
        /// In how many sweeps in a row an instance with tasks must have been able to go before it
        /// does.
        LOW_FOR_SWEEPS: number!(u32, "a number of sweeps", 1..=48) => low_for_sweeps: u32 = 2,
        /// For how long nothing of a group goes once a drain was taken back there.
        HOLD_AFTER_TAKE_BACK_SECONDS: seconds!(0..=604_800) =>
            hold_after_take_back: SignedDuration = SignedDuration::from_hours(3),
        /// The share of a cluster's instances with a disconnected agent beyond which nothing is
        /// removed there, in percent.
        HALT_AT_DISCONNECTED_PERCENT: number!(u32, "a whole number of percent", 0..=100) =>
            halt_at_disconnected_percent: u32 = 25,
        /// Whether nothing is removed in a cluster while traffic is shifted away from a zone of it.
        HALT_ON_ZONAL_SHIFT: BOOLEAN => halt_on_zonal_shift: bool = true,
        /// How many usable instances are always left in a cluster.
        MIN_INSTANCES: number!(usize, "a number of instances", 0..=5_000) =>
            min_instances: usize = Policy::default().min_instances,
        /// For how long after its registration a container instance is kept.
        MIN_INSTANCE_AGE_SECONDS: seconds!(0..=31_536_000) =>
            min_instance_age: SignedDuration = Policy::default().min_instance_age,
        /// The only groups that may be shrunk; `None` is every group.
        AUTO_SCALING_GROUPS: GROUPS => groups: Option<BTreeSet<GroupName>> = None,
        /// What is done with groups under a capacity provider's managed scaling.
        MANAGED_SCALING: word!(ManagedScalingMode) =>
            managed_scaling: ManagedScalingMode = ManagedScalingMode::Assist,
        /// The same by its former name, if set: `false` is `leave`, `true` is `assist`.
        ALLOW_MANAGED_SCALING: BOOLEAN => allow_managed_scaling: Option<bool> = None,
        /// Whether instances with standalone tasks may be removed, once those have ended.
        ALLOW_STANDALONE_TASKS: BOOLEAN => allow_standalone_tasks: bool = false,
        /// After how many days in its cluster a container instance is replaced; `None` is never by
        /// its age.
        REPLACE_AFTER_DAYS: number!(i64, "a number of days", 1..=3_650) =>
            replace_after_days: Option<i64> = None,
        /// What an hour of each instance type costs, in millionths of a dollar, whatever AWS says.
        INSTANCE_PRICES: InstancePrices => instance_prices: BTreeMap<String, u64> = BTreeMap::new(),
        /// The topic that the hooks of the lifecycle drainer notify; `None` if no hook is its own.
        LIFECYCLE_TOPIC_ARN: TOPIC_ARN => lifecycle_topic: Option<TopicArn> = None,
        /// The topic for notices to people.
        NOTIFICATION_TOPIC_ARN: TOPIC_ARN => notification_topic: Option<TopicArn> = None,
        /// The form of these notices.
        NOTIFICATION_FORMAT: FORMAT =>
            notification_format: NotificationFormat = NotificationFormat::Text,
        /// Whether people are told of plans, too, where sweeps only plan.
        NOTIFY_PLANS: BOOLEAN => notify_plans: bool = false,
        /// The CloudWatch namespace of the metrics.
        METRICS_NAMESPACE: NAMESPACE => metrics_namespace: String = DEFAULT_NAMESPACE.to_owned(),
        /// Whether metrics have the cluster as a dimension as well. Each is one more to be paid for.
        METRICS_BY_CLUSTER: BOOLEAN => metrics_by_cluster: bool = true,
    }
    check: contradictions
}

fn contradictions(settings: &ReaperSettings, is_set: impl Fn(&str) -> bool) -> Vec<Problem> {
    let mut problems = Vec::new();
    // Who asks for a dry run does not mean instances to go; and what a drainer only looks at, its
    // hook lets go with tasks on it.
    if settings.mode == ReaperMode::Act && settings.dry_run {
        problems.push(Problem {
            variable: REAPER_MODE,
            value: ReaperMode::Act.as_str().to_owned(),
            expected: "`plan`, as DRY_RUN is `true`",
        });
    }
    let expected = match (settings.managed_scaling, settings.allow_managed_scaling) {
        (ManagedScalingMode::Assist, Some(false)) => "`leave`, as ALLOW_MANAGED_SCALING is `false`",
        (ManagedScalingMode::Leave, Some(true)) => "`assist`, as ALLOW_MANAGED_SCALING is `true`",
        (ManagedScalingMode::Assist, Some(true) | None)
        | (ManagedScalingMode::Leave, Some(false) | None) => return problems,
    };
    // The default contradicts nobody.
    if is_set(MANAGED_SCALING) {
        let value = settings.managed_scaling.as_str().to_owned();
        problems.push(Problem { variable: MANAGED_SCALING, value, expected });
    }
    problems
}

impl ReaperSettings {
    /// How many of so many usable instances may go for a reason. Those that drain already are to be
    /// taken off.
    pub fn allowance(&self, reason: DisruptionReason, usable: usize, now: Timestamp) -> Allowance {
        self.policy().allowance(reason, usable, now)
    }

    /// After how long an instance is replaced; `None` is never by its age.
    pub fn replace_after(&self) -> Option<SignedDuration> {
        self.replace_after_days.map(|days| SignedDuration::from_hours(days * 24))
    }

    /// What a sweep may do.
    pub fn policy(&self) -> Policy {
        Policy {
            headroom_cpu_percent: self.headroom_cpu_percent,
            headroom_memory_percent: self.headroom_memory_percent,
            task_headroom: TaskHeadroom {
                largest: self.headroom_largest_tasks,
                by_service: self.headroom_tasks.clone(),
            },
            max_removals_percent: self.max_removals_percent,
            max_empty_removals_percent: self.max_empty_removals_percent,
            budgets: self.budgets.clone(),
            min_instances: self.min_instances,
            min_instance_age: self.min_instance_age,
            groups: self.groups.clone(),
            allow_managed_scaling: self
                .allow_managed_scaling
                .unwrap_or(self.managed_scaling == ManagedScalingMode::Assist),
            allow_standalone_tasks: self.allow_standalone_tasks,
            ..Policy::default()
        }
    }
}

vocabulary! {
    /// Whether a sweep changes anything. The greater mode does more: a request may ask for a lesser
    /// one only.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    pub enum ReaperMode {
        /// It says what it would do, and changes nothing.
        Plan = "plan",
        /// It does it.
        Act = "act",
    }
}

const GROUPS: Whole<BTreeSet<GroupName>> = Whole {
    expected: "names of Auto Scaling groups, each 1 to 255 printable characters without a colon \
        or a comma, separated by commas, each once",
    parse: groups,
};

fn groups(text: &str) -> Option<BTreeSet<GroupName>> {
    let names: Vec<_> = text.split(',').map(str::trim).map(group_name).collect::<Option<_>>()?;
    let distinct: BTreeSet<_> = names.iter().cloned().collect();
    // A name that is there twice is likely a slip for another group, which would then not be swept.
    (distinct.len() == names.len()).then_some(distinct)
}

/// Numbers of tasks by service: a JSON object such as `{"web": 3}`. Each wrong number or name is a
/// problem of its own.
struct TaskCounts;

const TASK_COUNTS_EXPECTED: &str = "a JSON object of services, each once, and for how many more tasks \
    of each there must be room, such as {\"web\": 3}";
const TASK_COUNT_EXPECTED: &str =
    "the name of a service and a whole number of tasks from 1 to 1000";

impl Format for TaskCounts {
    type Value = BTreeMap<String, u32>;

    fn read(
        &self,
        variable: &'static str,
        text: &str,
        _region: Option<&str>,
    ) -> Result<Self::Value, Vec<Problem>> {
        let Ok(UniqueObject(entries)) = serde_json::from_str(text) else {
            let expected = TASK_COUNTS_EXPECTED;
            return Err(vec![Problem { variable, value: text.to_owned(), expected }]);
        };
        let (mut counts, mut problems) = (BTreeMap::new(), Vec::new());
        for (service, tasks) in entries {
            let count = tasks.as_u64().and_then(|tasks| u32::try_from(tasks).ok());
            match count.filter(|count| (1..=1_000).contains(count) && is_service_name(&service)) {
                Some(count) => {
                    counts.insert(service, count);
                }
                None => problems.push(Problem {
                    variable,
                    value: format!("{service}: {tasks}"),
                    expected: TASK_COUNT_EXPECTED,
                }),
            }
        }
        if problems.is_empty() { Ok(counts) } else { Err(problems) }
    }
}

/// The rule is that of the ECS API, `CreateService.serviceName`.
fn is_service_name(text: &str) -> bool {
    (1..=255).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Prices in US dollars an hour by instance type: a JSON object such as `{"m7g.large": 0.0816}`.
/// Each wrong price is a problem of its own, with the instance type that it is for.
struct InstancePrices;

const PRICES_EXPECTED: &str = "a JSON object of instance types, each once, and what an hour of each \
    costs in US dollars, such as {\"m7g.large\": 0.0816}";
const PRICE_EXPECTED: &str = "a price in US dollars an hour, above 0 and at most 10000";

impl Format for InstancePrices {
    type Value = BTreeMap<String, u64>;

    fn read(
        &self,
        variable: &'static str,
        text: &str,
        _region: Option<&str>,
    ) -> Result<Self::Value, Vec<Problem>> {
        let Ok(UniqueObject(prices)) = serde_json::from_str(text) else {
            let expected = PRICES_EXPECTED;
            return Err(vec![Problem { variable, value: text.to_owned(), expected }]);
        };
        let (mut prices_microusd, mut problems) = (BTreeMap::new(), Vec::new());
        for (instance_type, price) in prices {
            match price.as_f64().and_then(microusd) {
                Some(price) => {
                    prices_microusd.insert(instance_type, price);
                }
                None => problems.push(Problem {
                    variable,
                    value: format!("{instance_type}: {price}"),
                    expected: PRICE_EXPECTED,
                }),
            }
        }
        // All or nothing: with some prices left out, a plan would weigh instances wrongly without
        // saying so.
        if problems.is_empty() { Ok(prices_microusd) } else { Err(problems) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use ebb_planner::Amount;

    use super::*;
    use crate::reaper::budgets::Budget;
    use crate::settings::SettingsError;

    fn read(variables: &[(&str, &str)]) -> Result<ReaperSettings, SettingsError> {
        let variables: HashMap<_, _> = variables.iter().copied().collect();
        ReaperSettings::from_lookup(|key| variables.get(key).map(|&value| value.to_owned()))
    }

    fn shop_groups() -> FallbackGroups {
        let pairs = r#"{"shop-spot": "shop-on-demand"}"#;
        read(&[(FALLBACK_AUTO_SCALING_GROUPS, pairs)]).unwrap().fallback_groups
    }

    #[test]
    fn nothing_set_gives_the_defaults_and_changes_nothing() {
        let settings = read(&[]).unwrap();
        assert_eq!(settings, ReaperSettings::default());
        assert_eq!(settings.mode, ReaperMode::Plan);
        let policy = Policy {
            max_empty_removals_percent: 50,
            allow_managed_scaling: true,
            ..Policy::default()
        };
        assert_eq!(settings.policy(), policy);
    }

    #[test]
    fn every_variable_is_read_and_reaches_the_policy() {
        let topic = "arn:aws:sns:eu-west-1:111122223333:sweeps";
        let hooks = "arn:aws:sns:eu-west-1:111122223333:ebb-lifecycle";
        let settings = read(&[
            (ECS_CLUSTERS, "shop"),
            (DRY_RUN, "false"),
            (FALLBACK_AUTO_SCALING_GROUPS, r#"{"shop-spot": "shop-on-demand"}"#),
            (FALLBACK_WHOLE_SWEEPS, "3"),
            (REAPER_MODE, "act"),
            (HEADROOM_CPU_PERCENT, "0"),
            (HEADROOM_MEMORY_PERCENT, "90"),
            (HEADROOM_LARGEST_TASKS, "2"),
            (HEADROOM_TASKS, r#"{"web": 3}"#),
            (MAX_REMOVALS_PERCENT, "100"),
            (MAX_EMPTY_REMOVALS_PERCENT, "25"),
            (BUDGETS, r#"[{"count": 5, "reasons": ["replace"]}]"#),
            (LOW_FOR_SWEEPS, "3"),
            (HOLD_AFTER_TAKE_BACK_SECONDS, "0"),
            (HALT_AT_DISCONNECTED_PERCENT, "100"),
            (HALT_ON_ZONAL_SHIFT, "false"),
            (MIN_INSTANCES, "3"),
            (MIN_INSTANCE_AGE_SECONDS, "0"),
            (AUTO_SCALING_GROUPS, "shop on-demand, shop-spot"),
            (MANAGED_SCALING, "leave"),
            (ALLOW_MANAGED_SCALING, "false"),
            (ALLOW_STANDALONE_TASKS, "true"),
            (REPLACE_AFTER_DAYS, "30"),
            (INSTANCE_PRICES, r#"{"m7g.large": 0.0816, "m7g.xlarge": 1}"#),
            (LIFECYCLE_TOPIC_ARN, hooks),
            (NOTIFICATION_TOPIC_ARN, topic),
            (NOTIFICATION_FORMAT, "chat"),
            (NOTIFY_PLANS, "true"),
            (METRICS_NAMESPACE, "Platform/Ebb"),
            (METRICS_BY_CLUSTER, "false"),
        ]);

        let groups = ["shop on-demand", "shop-spot"].map(GroupName::new);
        let expected = ReaperSettings {
            clusters: Some(vec![Cluster::new("shop")]),
            dry_run: false,
            fallback_groups: shop_groups(),
            fallback_whole_sweeps: 3,
            mode: ReaperMode::Act,
            headroom_cpu_percent: 0,
            headroom_memory_percent: 90,
            headroom_largest_tasks: 2,
            headroom_tasks: [("web".to_owned(), 3)].into(),
            max_removals_percent: 100,
            max_empty_removals_percent: 25,
            budgets: Budgets::from(vec![Budget {
                amount: Amount::Instances(5),
                reasons: [DisruptionReason::Replace].into(),
                window: None,
            }]),
            low_for_sweeps: 3,
            hold_after_take_back: SignedDuration::ZERO,
            halt_at_disconnected_percent: 100,
            halt_on_zonal_shift: false,
            min_instances: 3,
            min_instance_age: SignedDuration::ZERO,
            groups: Some(groups.into()),
            managed_scaling: ManagedScalingMode::Leave,
            allow_managed_scaling: Some(false),
            allow_standalone_tasks: true,
            replace_after_days: Some(30),
            instance_prices: [
                ("m7g.large".to_owned(), 81_600),
                ("m7g.xlarge".to_owned(), 1_000_000),
            ]
            .into(),
            lifecycle_topic: Some(TopicArn::new(hooks)),
            notification_topic: Some(TopicArn::new(topic)),
            notification_format: NotificationFormat::Chat,
            notify_plans: true,
            metrics_namespace: "Platform/Ebb".to_owned(),
            metrics_by_cluster: false,
        };
        assert_eq!(settings, Ok(expected.clone()));
        let now = Timestamp::UNIX_EPOCH;
        let going =
            DisruptionReason::ALL.map(|reason| expected.allowance(reason, 40, now).instances);
        assert_eq!(going, [10, 40, 5, 40]);
        let policy = expected.policy();
        assert_eq!((policy.headroom_cpu_percent, policy.headroom_memory_percent), (0, 90));
        let TaskHeadroom { largest, by_service } = policy.task_headroom;
        assert_eq!((largest, by_service), (2, expected.headroom_tasks));
        assert_eq!((policy.max_removals_percent, policy.min_instances), (100, 3));
        assert_eq!(policy.max_empty_removals_percent, 25);
        assert_eq!(
            (policy.min_instance_age, policy.groups),
            (expected.min_instance_age, expected.groups)
        );
        assert!(!policy.allow_managed_scaling && policy.allow_standalone_tasks);
    }

    #[test]
    fn every_wrong_variable_is_named_and_so_is_every_wrong_price() {
        let error = read(&[
            (FALLBACK_AUTO_SCALING_GROUPS, r#"{"shop": "shop"}"#),
            (FALLBACK_WHOLE_SWEEPS, "0"),
            (REAPER_MODE, "ACT"),
            (HEADROOM_CPU_PERCENT, "91"),
            (HEADROOM_MEMORY_PERCENT, "20%"),
            (HEADROOM_LARGEST_TASKS, "1001"),
            (HEADROOM_TASKS, r#"{"web": 0, "back office": 1, "till": 1.5, "shop": 1}"#),
            (MAX_REMOVALS_PERCENT, "101"),
            (MAX_EMPTY_REMOVALS_PERCENT, "half"),
            (BUDGETS, r#"[{"count": "5"}, {"share": 10, "duration": "8h"}]"#),
            (LOW_FOR_SWEEPS, "0"),
            (HOLD_AFTER_TAKE_BACK_SECONDS, "3h"),
            (HALT_AT_DISCONNECTED_PERCENT, "101"),
            (MIN_INSTANCES, "-1"),
            (MIN_INSTANCE_AGE_SECONDS, "15m"),
            (AUTO_SCALING_GROUPS, "shop,,spot"),
            (MANAGED_SCALING, "true"),
            (ALLOW_MANAGED_SCALING, "yes"),
            (ALLOW_STANDALONE_TASKS, "1"),
            (REPLACE_AFTER_DAYS, "0"),
            (
                INSTANCE_PRICES,
                r#"{"m7g.large": "0.08", "m7g.xlarge": 0, "m7g.2xlarge": 0.3, "m7g.4xlarge": null}"#,
            ),
        ])
        .unwrap_err();

        insta::assert_snapshot!(error.to_string().replace("; ", "\n"), @r#"
        read the settings: FALLBACK_AUTO_SCALING_GROUPS is "shop", expected another group: none is its own fallback
        FALLBACK_WHOLE_SWEEPS is "0", expected a number of sweeps from 1 to 100
        REAPER_MODE is "ACT", expected `plan` or `act`
        HEADROOM_CPU_PERCENT is "91", expected a whole number of percent from 0 to 90
        HEADROOM_MEMORY_PERCENT is "20%", expected a whole number of percent from 0 to 90
        HEADROOM_LARGEST_TASKS is "1001", expected a number of tasks from 0 to 1000
        HEADROOM_TASKS is "back office: 1", expected the name of a service and a whole number of tasks from 1 to 1000
        HEADROOM_TASKS is "till: 1.5", expected the name of a service and a whole number of tasks from 1 to 1000
        HEADROOM_TASKS is "web: 0", expected the name of a service and a whole number of tasks from 1 to 1000
        MAX_REMOVALS_PERCENT is "101", expected a whole number of percent from 0 to 100
        MAX_EMPTY_REMOVALS_PERCENT is "half", expected a whole number of percent from 0 to 100
        BUDGETS is "budget 1: count \"5\"", expected a whole number of instances from 0 to 5000
        BUDGETS is "budget 2: only `duration`", expected `schedule` and `duration` together, or neither
        LOW_FOR_SWEEPS is "0", expected a number of sweeps from 1 to 48
        HOLD_AFTER_TAKE_BACK_SECONDS is "3h", expected a number of seconds from 0 to 604800
        HALT_AT_DISCONNECTED_PERCENT is "101", expected a whole number of percent from 0 to 100
        MIN_INSTANCES is "-1", expected a number of instances from 0 to 5000
        MIN_INSTANCE_AGE_SECONDS is "15m", expected a number of seconds from 0 to 31536000
        AUTO_SCALING_GROUPS is "shop,,spot", expected names of Auto Scaling groups, each 1 to 255 printable characters without a colon or a comma, separated by commas, each once
        MANAGED_SCALING is "true", expected `assist` or `leave`
        ALLOW_MANAGED_SCALING is "yes", expected `true` or `false`
        ALLOW_STANDALONE_TASKS is "1", expected `true` or `false`
        REPLACE_AFTER_DAYS is "0", expected a number of days from 1 to 3650
        INSTANCE_PRICES is "m7g.4xlarge: null", expected a price in US dollars an hour, above 0 and at most 10000
        INSTANCE_PRICES is "m7g.large: \"0.08\"", expected a price in US dollars an hour, above 0 and at most 10000
        INSTANCE_PRICES is "m7g.xlarge: 0", expected a price in US dollars an hour, above 0 and at most 10000
        "#);
    }

    #[test]
    fn task_counts_that_are_no_object_or_name_a_service_twice_are_wrong_as_a_whole() {
        for text in ["", "3", "[]", r#"{"web": 1, "till": 2, "web": 3}"#] {
            let error = read(&[(HEADROOM_TASKS, text)]).unwrap_err();
            let problems: Vec<_> = error.problems.iter().map(|it| it.expected).collect();
            assert_eq!(problems, [TASK_COUNTS_EXPECTED], "{text}");
        }
    }

    #[test]
    fn prices_that_are_no_object_or_name_a_type_twice_are_wrong_as_a_whole() {
        let twice = r#"{"m7g.large": 0.08, "m7g.large": 0.8}"#;
        for text in ["", "[]", "0.08", r#"{"m7g.large""#, twice] {
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
    fn a_dry_run_does_not_act() {
        let error = read(&[(DRY_RUN, "true"), (REAPER_MODE, "act")]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "read the settings: REAPER_MODE is \"act\", expected `plan`, as DRY_RUN is `true`"
        );
        assert!(read(&[(DRY_RUN, "true")]).is_ok_and(|settings| settings.dry_run));
        assert!(read(&[(DRY_RUN, "true"), (REAPER_MODE, "plan")]).is_ok());
        let both = read(&[(DRY_RUN, "true"), (REAPER_MODE, "act"), (MIN_INSTANCES, "x")]);
        assert_eq!(both.unwrap_err().problems.len(), 2, "every problem is named");
    }

    #[test]
    fn the_former_name_of_managed_scaling_is_read_and_must_not_contradict_it() {
        let assists = |variables: &[(&str, &str)]| {
            read(variables).map(|settings| settings.policy().allow_managed_scaling)
        };
        assert_eq!(assists(&[(MANAGED_SCALING, "assist")]), Ok(true));
        assert_eq!(assists(&[(MANAGED_SCALING, "leave")]), Ok(false));
        assert_eq!(assists(&[(ALLOW_MANAGED_SCALING, "true")]), Ok(true));
        assert_eq!(assists(&[(ALLOW_MANAGED_SCALING, "false")]), Ok(false));
        let both = |word, former| {
            let error = assists(&[(MANAGED_SCALING, word), (ALLOW_MANAGED_SCALING, former)]);
            error.map_err(|error| error.to_string())
        };
        assert_eq!(both("assist", "true"), Ok(true));
        assert_eq!(both("leave", "false"), Ok(false));
        assert_eq!(
            both("assist", "false").unwrap_err(),
            "read the settings: MANAGED_SCALING is \"assist\", expected `leave`, as \
             ALLOW_MANAGED_SCALING is `false`"
        );
        assert_eq!(
            both("leave", "true").unwrap_err(),
            "read the settings: MANAGED_SCALING is \"leave\", expected `assist`, as \
             ALLOW_MANAGED_SCALING is `true`"
        );
    }

    #[test]
    fn groups_are_named_once() {
        assert!(read(&[(AUTO_SCALING_GROUPS, "shop,shop")]).is_err());
    }

    #[test]
    fn days_until_an_instance_is_replaced_are_of_24_hours() {
        let after = |days| ReaperSettings { replace_after_days: days, ..ReaperSettings::default() };
        assert_eq!(after(None).replace_after(), None);
        assert_eq!(after(Some(30)).replace_after(), Some(SignedDuration::from_hours(720)));
    }
}
