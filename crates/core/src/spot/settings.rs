//! The settings of the `spot-drainer`.

use crate::ids::{Cluster, GroupName, TopicArn};
use crate::settings::{
    BOOLEAN_EXPECTED, CLUSTERS_EXPECTED, DRY_RUN, ECS_CLUSTERS, GROUP_NAME_EXPECTED,
    METRICS_NAMESPACE, NAMESPACE_EXPECTED, NOTIFICATION_TOPIC_ARN, Reader, SettingsError,
    TOPIC_ARN_EXPECTED, boolean, clusters, group_name, namespace, topic_arn,
};

/// `true`: treat rebalance recommendations like interruption notices.
pub const DRAIN_ON_REBALANCE: &str = "DRAIN_ON_REBALANCE";
/// The on-demand Auto Scaling group to raise by one for each interrupted container instance.
pub const FALLBACK_ASG: &str = "FALLBACK_ASG";
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
