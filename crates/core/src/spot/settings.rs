//! The settings of the `spot-drainer`: one declaration each.
//!
//! What they share with the other functions is in [`crate::settings`]; what they do is left to the
//! decisions that take them.

use crate::fallback_groups::{FallbackGroups, FallbackPairs};
use crate::ids::{Cluster, GroupName, TopicArn};
use crate::notification::{FORMAT, NotificationFormat};
use crate::settings::{
    BOOLEAN, CLUSTERS, DEFAULT_NAMESPACE, GROUP_NAME, NAMESPACE, Problem, TOPIC_ARN, settings,
};

settings! {
    /// The settings of the `spot-drainer`.
    pub struct SpotSettings {
        /// Clusters to look in; `None` is every cluster of the Region.
        ECS_CLUSTERS: CLUSTERS => clusters: Option<Vec<Cluster>> = None,
        /// Whether to change nothing.
        DRY_RUN: BOOLEAN => dry_run: bool = false,
        /// Whether what EC2 recommends to rebalance is drained, where its tasks have room elsewhere.
        DRAIN_ON_REBALANCE: BOOLEAN => drain_on_rebalance: bool = false,
        /// The on-demand group to raise by one instance for each interrupted container instance of a
        /// group that has no fallback group of its own.
        FALLBACK_ASG: GROUP_NAME => fallback_group: Option<GroupName> = None,
        /// The group to raise for each Spot group, by what that has not replaced itself.
        FALLBACK_AUTO_SCALING_GROUPS: FallbackPairs =>
            fallback_groups: FallbackGroups = FallbackGroups::default(),
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
    check: contradictions
}

fn contradictions(settings: &SpotSettings, _is_set: impl Fn(&str) -> bool) -> Vec<Problem> {
    let named = settings.fallback_group.iter().filter(|name| settings.fallback_groups.names(name));
    named
        .map(|name| Problem {
            variable: FALLBACK_ASG,
            value: name.to_string(),
            expected: "a group that FALLBACK_AUTO_SCALING_GROUPS does not name: it is the fallback \
                group of all others",
        })
        .collect()
}

impl SpotSettings {
    /// Whether any group is raised for what is interrupted.
    pub fn has_fallback(&self) -> bool {
        self.fallback_group.is_some() || !self.fallback_groups.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::settings::SettingsError;

    fn read(variables: &[(&str, &str)]) -> Result<SpotSettings, SettingsError> {
        let variables: HashMap<_, _> = variables.iter().copied().collect();
        SpotSettings::from_lookup(|key| variables.get(key).map(|&value| value.to_owned()))
    }

    fn till_groups() -> FallbackGroups {
        let pairs = r#"{"till-spot": "till-on-demand"}"#;
        read(&[(FALLBACK_AUTO_SCALING_GROUPS, pairs)]).unwrap().fallback_groups
    }

    #[test]
    fn the_fallback_group_of_all_others_is_none_that_the_map_names() {
        for name in ["till-spot", "till-on-demand"] {
            let pairs = r#"{"till-spot": "till-on-demand"}"#;
            let error = read(&[(FALLBACK_ASG, name), (FALLBACK_AUTO_SCALING_GROUPS, pairs)]);
            assert_eq!(
                error.unwrap_err().to_string(),
                format!(
                    "read the settings: FALLBACK_ASG is \"{name}\", expected a group that \
                     FALLBACK_AUTO_SCALING_GROUPS does not name: it is the fallback group of all \
                     others"
                )
            );
        }
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
            (FALLBACK_AUTO_SCALING_GROUPS, r#"{"till-spot": "till-on-demand"}"#),
            (NOTIFICATION_TOPIC_ARN, topic),
            (NOTIFICATION_FORMAT, "chat"),
            (METRICS_NAMESPACE, "Platform/Ebb"),
            (METRICS_BY_CLUSTER, "false"),
        ]);

        let clusters =
            ["shop", "arn:aws-us-gov:ecs:us-gov-west-1:111122223333:cluster/back_office-2"];
        let expected = SpotSettings {
            clusters: Some(clusters.map(Cluster::new).to_vec()),
            dry_run: true,
            drain_on_rebalance: true,
            fallback_group: Some(GroupName::new("shop on-demand")),
            fallback_groups: till_groups(),
            notification_topic: Some(TopicArn::new(topic)),
            notification_format: NotificationFormat::Chat,
            metrics_namespace: "Platform/Ebb".to_owned(),
            metrics_by_cluster: false,
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
            (FALLBACK_AUTO_SCALING_GROUPS, "shop"),
            (NOTIFICATION_TOPIC_ARN, "drains"),
            (NOTIFICATION_FORMAT, "xml"),
            (METRICS_NAMESPACE, "AWS/Ebb"),
            (METRICS_BY_CLUSTER, "no"),
        ])
        .unwrap_err();

        insta::assert_snapshot!(error.to_string().replace("; ", "\n"), @r#"
        read the settings: ECS_CLUSTERS is "shop,,back", expected cluster names (1 to 255 letters, digits, hyphens and underscores) or cluster ARNs of one account, separated by commas, each once
        DRY_RUN is "yes", expected `true` or `false`
        DRAIN_ON_REBALANCE is "TRUE", expected `true` or `false`
        FALLBACK_ASG is "arn:aws:autoscaling:eu-west-1", expected the name of an Auto Scaling group: 1 to 255 printable characters without a colon
        FALLBACK_AUTO_SCALING_GROUPS is "shop", expected a JSON object of Spot groups and the fallback group of each, such as {"shop-spot": "shop-on-demand"}
        NOTIFICATION_TOPIC_ARN is "drains", expected the ARN of a standard SNS topic: a FIFO topic, whose name ends in `.fifo`, takes no message without a group
        NOTIFICATION_FORMAT is "xml", expected `text`, `json` or `chat`
        METRICS_NAMESPACE is "AWS/Ebb", expected a CloudWatch namespace: 1 to 255 of letters, digits and . - _ / # : and space, not beginning with AWS/
        METRICS_BY_CLUSTER is "no", expected `true` or `false`
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
            "arn:aws:ecs:eu-west-1:111122223333:cluster/shop,\
             arn:aws:ecs:eu-west-1:444455556666:cluster/till",
        ] {
            assert!(read(&[(ECS_CLUSTERS, wrong)]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_in_another_region_is_refused_by_its_setting() {
        let cluster = "arn:aws:ecs:eu-west-1:111122223333:cluster/shop";
        let topic = "arn:aws:sns:eu-west-1:111122223333:drains";
        let values = [(ECS_CLUSTERS, cluster), (NOTIFICATION_TOPIC_ARN, topic)];
        for (variable, value) in values {
            assert!(read(&[(variable, value), ("AWS_REGION", "eu-west-1")]).is_ok());
            let error = read(&[(variable, value), ("AWS_REGION", "eu-west-2")]).unwrap_err();
            let expected = "expected what is in the function's own Region (AWS_REGION)";
            assert!(error.to_string().contains(&format!("{variable} is \"{value}\", {expected}")));
        }
        // A name is of whatever Region the function is in.
        assert!(read(&[(ECS_CLUSTERS, "shop"), ("AWS_REGION", "eu-west-2")]).is_ok());
    }

    #[test]
    fn a_fifo_topic_is_refused() {
        let topic = "arn:aws:sns:eu-west-1:111122223333:drains.fifo";
        assert!(read(&[(NOTIFICATION_TOPIC_ARN, topic)]).is_err());
    }

    #[test]
    fn either_setting_names_a_fallback_group() {
        assert!(!read(&[]).unwrap().has_fallback());
        assert!(read(&[(FALLBACK_ASG, "shop-on-demand")]).unwrap().has_fallback());
        let pairs = r#"{"till-spot": "till-on-demand"}"#;
        assert!(read(&[(FALLBACK_AUTO_SCALING_GROUPS, pairs)]).unwrap().has_fallback());
    }
}
