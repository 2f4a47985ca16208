//! What the answer to each operation must carry, and which operations change nothing.
//!
//! Sources: the output shapes of the API models of ECS (2014-11-13), Auto Scaling (2011-01-01) and
//! SNS (2010-03-31). The models call hardly any member required, but a list without items is sent
//! as an empty list: the AWS CLI shows `"taskArns": []` and `"AutoScalingInstances": []`, and its
//! parser fails on a query answer without its `…Result` element. Other members, such as `failures`
//! and `nextToken`, may be missing. Of an item, only what names it and where it stands is required:
//! without that it would be left out, as if it were not there.

/// What an answer must carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Contract {
    /// A JSON object with a list of texts under this key.
    Texts(&'static str),
    /// A JSON object with a list of objects under this key, each with texts under these.
    Structures(&'static str, &'static [&'static str]),
    /// A JSON object with an object under this key, with texts under these.
    Structure(&'static str, &'static [&'static str]),
    /// A JSON object with texts under these keys.
    Document(&'static [&'static str]),
    /// An XML document of the element `…Response` with these in it, each within the one before.
    Elements(&'static [&'static str]),
    /// The same with a list in the last of them, each `member` of it with these elements.
    Members(&'static [&'static str], &'static [&'static str]),
}

/// Every operation that this crate calls.
const CONTRACTS: [(&str, Contract); 38] = [
    ("CompleteLifecycleAction", Contract::Elements(&["CompleteLifecycleActionResult"])),
    // Neither it nor the next but one has a result: the name of the document is all that tells.
    ("CreateOrUpdateTags", Contract::Elements(&[])),
    ("DeleteAttributes", Contract::Structures("attributes", &["name"])),
    ("DeleteTags", Contract::Elements(&[])),
    (
        "DescribeAutoScalingGroups",
        Contract::Members(
            &["DescribeAutoScalingGroupsResult", "AutoScalingGroups"],
            &["AutoScalingGroupName", "MinSize", "MaxSize", "DesiredCapacity"],
        ),
    ),
    (
        "DescribeAutoScalingInstances",
        Contract::Members(
            &["DescribeAutoScalingInstancesResult", "AutoScalingInstances"],
            &["InstanceId", "AutoScalingGroupName", "LifecycleState"],
        ),
    ),
    ("DescribeCapacityProviders", Contract::Structures("capacityProviders", &["name"])),
    ("DescribeClusters", Contract::Structures("clusters", &["clusterArn"])),
    (
        "DescribeContainerInstances",
        Contract::Structures("containerInstances", &["containerInstanceArn", "status"]),
    ),
    (
        "DescribeInstanceRefreshes",
        Contract::Members(&["DescribeInstanceRefreshesResult", "InstanceRefreshes"], &["Status"]),
    ),
    // EC2 API (2016-11-15).
    ("DescribeInstanceStatus", Contract::Members(&["instanceStatusSet"], &["instanceId"])),
    // EC2 API (2016-11-15).
    ("DescribeInstanceTypes", Contract::Members(&["instanceTypeSet"], &["instanceType"])),
    // EC2 API (2016-11-15).
    ("DescribeInstances", Contract::Elements(&["reservationSet"])),
    // EC2 API (2016-11-15).
    (
        "DescribeLaunchTemplates",
        Contract::Members(
            &["launchTemplates"],
            &["launchTemplateId", "defaultVersionNumber", "latestVersionNumber"],
        ),
    ),
    (
        "DescribeLifecycleHooks",
        Contract::Members(
            &["DescribeLifecycleHooksResult", "LifecycleHooks"],
            &["LifecycleHookName", "LifecycleTransition", "HeartbeatTimeout"],
        ),
    ),
    ("DescribeServices", Contract::Structures("services", &["serviceName"])),
    // EC2 API (2016-11-15).
    (
        "DescribeSpotPriceHistory",
        Contract::Members(
            &["spotPriceHistorySet"],
            &["instanceType", "availabilityZone", "timestamp", "spotPrice"],
        ),
    ),
    // EC2 API (2016-11-15).
    ("DescribeSubnets", Contract::Members(&["subnetSet"], &["subnetId", "availabilityZone"])),
    // Elastic Load Balancing API (2015-12-01).
    (
        "DescribeTargetGroups",
        Contract::Members(&["DescribeTargetGroupsResult", "TargetGroups"], &["TargetGroupArn"]),
    ),
    ("DescribeTaskDefinition", Contract::Structure("taskDefinition", &["taskDefinitionArn"])),
    ("DescribeTasks", Contract::Structures("tasks", &["taskArn", "lastStatus"])),
    // CloudWatch API (2010-08-01).
    ("GetMetricData", Contract::Structures("MetricDataResults", &["Id", "StatusCode"])),
    // AWS Price List API (2017-10-15).
    ("GetProducts", Contract::Texts("PriceList")),
    // Lambda API (2015-03-31).
    ("GetFunctionConfiguration", Contract::Document(&["FunctionName", "CodeSha256"])),
    ("GetTaskProtection", Contract::Structures("protectedTasks", &["taskArn"])),
    // It lists the instances or the errors.
    ("LaunchInstances", Contract::Elements(&["LaunchInstancesResult", "ClientToken"])),
    ("ListClusters", Contract::Texts("clusterArns")),
    ("ListContainerInstances", Contract::Texts("containerInstanceArns")),
    // ARC zonal shift API (2022-10-30).
    ("ListManagedResources", Contract::Structures("items", &["arn"])),
    ("ListServices", Contract::Texts("serviceArns")),
    ("ListTasks", Contract::Texts("taskArns")),
    ("Publish", Contract::Elements(&["PublishResult", "MessageId"])),
    ("PutAttributes", Contract::Structures("attributes", &["name"])),
    (
        "RecordLifecycleActionHeartbeat",
        Contract::Elements(&["RecordLifecycleActionHeartbeatResult"]),
    ),
    // It has no result: the name of the document is all that tells.
    ("SetDesiredCapacity", Contract::Elements(&[])),
    ("StopTask", Contract::Structure("task", &["taskArn"])),
    (
        "TerminateInstanceInAutoScalingGroup",
        Contract::Elements(&["TerminateInstanceInAutoScalingGroupResult", "Activity"]),
    ),
    (
        "UpdateContainerInstancesState",
        Contract::Structures("containerInstances", &["containerInstanceArn", "status"]),
    ),
];

/// What whoever may only look calls, by service: operations that change nothing.
pub const READ_OPERATIONS: [(&str, &[&str]); 5] = [
    (
        "autoscaling",
        &["DescribeAutoScalingGroups", "DescribeAutoScalingInstances", "DescribeInstanceRefreshes"],
    ),
    (
        "ec2",
        &[
            "DescribeInstanceStatus",
            "DescribeInstanceTypes",
            "DescribeInstances",
            "DescribeLaunchTemplates",
            "DescribeSpotPriceHistory",
            "DescribeSubnets",
        ],
    ),
    (
        "ecs",
        &[
            "DescribeCapacityProviders",
            "DescribeClusters",
            "DescribeContainerInstances",
            "DescribeServices",
            "DescribeTaskDefinition",
            "DescribeTasks",
            "GetTaskProtection",
            "ListClusters",
            "ListContainerInstances",
            "ListServices",
            "ListTasks",
        ],
    ),
    ("lambda", &["GetFunctionConfiguration"]),
    ("pricing", &["GetProducts"]),
];

/// Whether whoever may only look calls an operation.
pub(super) fn is_read(operation: &str) -> bool {
    READ_OPERATIONS.iter().any(|(_, operations)| operations.contains(&operation))
}

impl Contract {
    /// Every operation that has one.
    #[cfg(test)]
    pub(super) fn operations() -> impl Iterator<Item = &'static str> {
        CONTRACTS.iter().map(|(operation, _)| *operation)
    }

    /// What the answer to an operation must carry. `None` for an operation that is not called here.
    pub(super) fn of(operation: &str) -> Option<Self> {
        CONTRACTS.iter().find(|(name, _)| *name == operation).map(|(_, contract)| *contract)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    fn source_files(folder: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
        files.into_iter().chain(folders.iter().flat_map(|path| source_files(path))).collect()
    }

    /// `list_tasks` becomes `ListTasks`.
    fn operation_of(method: &str) -> String {
        let words = method.split('_');
        words.map(|word| word[..1].to_uppercase() + &word[1..]).collect()
    }

    #[test]
    fn every_operation_that_is_called_has_its_contract_and_no_other_has() {
        let mut called = BTreeSet::new();
        for path in source_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
            let text: String =
                fs::read_to_string(&path).unwrap().split_whitespace().collect::<Vec<_>>().concat();
            let calls = text.split("self.client.").skip(1);
            // A fluent builder is made by a method without arguments.
            let methods = calls.filter_map(|call| call.split_once("()")).map(|(method, _)| method);
            let is_name = |method: &&str| method.chars().all(|c| c == '_' || c.is_lowercase());
            called.extend(methods.filter(is_name).map(operation_of));
            let named = text.split(".operation_name(\"").skip(1);
            called.extend(named.filter_map(|call| Some(call.split_once('"')?.0.to_owned())));
        }

        let contracts: BTreeSet<_> =
            CONTRACTS.iter().map(|(operation, _)| (*operation).to_owned()).collect();
        assert_eq!(called, contracts);
    }

    #[test]
    fn a_read_is_by_its_name_one() {
        for (_, operations) in READ_OPERATIONS {
            for operation in operations {
                assert!(Contract::of(operation).is_some(), "{operation} is not misspelt");
                let is_read = |verb: &&str| operation.starts_with(verb);
                assert!(["Describe", "Get", "List"].iter().any(is_read), "{operation}");
            }
        }
    }
}
