//! Whose a group is, and which instances are not the cluster's to count on.
//!
//! Told by tags and names, as the group itself does not say it. Reading them is left to `ebb-aws`;
//! that such a group is not shrunk, and such an instance is no room, to the planner.

use ebb_planner::{CAPACITY_PROVIDER, Instance};

use crate::ids::{Cluster, GroupName};
use crate::reaper::tags::Tags;

/// The AWS service that owns a group, if one does.
///
/// Sources: AWS Batch User Guide, updating-compute-environments (groups changed by hand may make the
/// compute environment INVALID; its clusters are named so); Elastic Beanstalk Developer Guide,
/// using-features.managing.as; EKS User Guide, managed-node-groups. `AmazonECSManaged` is not among
/// the tags: it is that of a capacity provider, whose managed scaling is asked about by itself.
pub fn owner(cluster: &Cluster, group: &GroupName, tags: &Tags) -> Option<&'static str> {
    let is_tagged = |beginning: &str| tags.keys().any(|key| key.starts_with(beginning));
    let (cluster, group) = (cluster.name(), group.as_str());
    let batch = is_tagged("AWSBatchServiceTag")
        || cluster.starts_with("AWSBatch-")
        || cluster.contains("_Batch_");
    let beanstalk = is_tagged("elasticbeanstalk:")
        || group.starts_with("awseb-")
        || cluster.starts_with("awseb-");
    let kubernetes = is_tagged("eks:") || is_tagged("kubernetes.io/cluster/");
    if batch {
        Some("AWS Batch")
    } else if beanstalk {
        Some("AWS Elastic Beanstalk")
    } else if kubernetes {
        Some("Amazon EKS")
    } else {
        None
    }
}

/// Whether an instance is one of ECS Managed Instances: it has a capacity provider, and no group.
/// Tasks of launch type EC2, or of an Auto Scaling group's provider, are never placed on it (ECS
/// Developer Guide, `ManagedInstances`).
pub fn is_managed_instance(instance: &Instance) -> bool {
    instance.group.is_none() && instance.attributes.contains_key(CAPACITY_PROVIDER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reaper::testing::{group_name, instance};

    fn owner_of(cluster: &str, group: &str, tags: &[&str]) -> Option<&'static str> {
        let tags = tags.iter().map(|&tag| (tag.to_owned(), String::new())).collect();
        owner(&Cluster::new(cluster), &GroupName::new(group), &tags)
    }

    #[test]
    fn groups_of_other_services_are_told_by_tags_and_names() {
        for (cluster, group, tags, owner) in [
            ("shop", "g", vec!["AWSBatchServiceTag"], Some("AWS Batch")),
            ("analytics_Batch_0b1c2d3e", "g", vec![], Some("AWS Batch")),
            ("AWSBatch-analytics-0b1c", "g", vec![], Some("AWS Batch")),
            (
                "arn:aws:ecs:eu-west-1:111122223333:cluster/AWSBatch-a",
                "g",
                vec![],
                Some("AWS Batch"),
            ),
            ("shop", "g", vec!["elasticbeanstalk:environment-name"], Some("AWS Elastic Beanstalk")),
            ("shop", "awseb-e-x1-stack", vec![], Some("AWS Elastic Beanstalk")),
            ("awseb-shop-env", "g", vec![], Some("AWS Elastic Beanstalk")),
            ("shop", "g", vec!["eks:cluster-name"], Some("Amazon EKS")),
            ("shop", "g", vec!["kubernetes.io/cluster/till"], Some("Amazon EKS")),
            ("shop", "g", vec!["Name", "AmazonECSManaged", "aws:cloudformation:stack-id"], None),
            ("batch", "seb", vec!["ebb:keep"], None),
        ] {
            assert_eq!(owner_of(cluster, group, &tags), owner, "{cluster}, {group}, {tags:?}");
        }
    }

    #[test]
    fn an_instance_with_a_provider_and_no_group_is_ecss_own() {
        let mut instance = instance(1);
        instance.attributes.insert(CAPACITY_PROVIDER.to_owned(), "managed".to_owned());
        assert!(!is_managed_instance(&instance), "of an Auto Scaling group's provider");
        instance.group = None;
        assert!(is_managed_instance(&instance));
        instance.attributes.clear();
        assert!(!is_managed_instance(&instance), "in no group, and registered by hand");
        instance.group = Some(group_name());
        assert!(!is_managed_instance(&instance));
    }
}
