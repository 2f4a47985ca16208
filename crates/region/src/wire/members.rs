//! Which members of its request the Region takes, operation by operation.
//!
//! A member that is taken takes effect. Any other is refused by its name: to leave it out without a
//! word would be to answer a question that was not asked. The few that change nothing here say why.
//! What a member may hold is each operation's own business.
//!
//! A path names a member as the protocol has it, with `[]` for the items of a list. The tests of
//! the server hold the table to the service models of AWS.

use serde_json::Value;

/// What of a request is not taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Misfit {
    /// The Region has no such member.
    Unknown(String),
    /// The member is a text where AWS has a list, or the like.
    OfAnotherType(String),
}

/// `None` for an operation that is not simulated.
fn members(operation: &str) -> Option<&'static [&'static str]> {
    let members: &[_] = match operation {
        // ECS.
        // The value is not to be given (ECS API, `DeleteAttributes`).
        "DeleteAttributes" => {
            &["attributes[].name", "attributes[].targetId", "attributes[].targetType", "cluster"]
        }
        "DescribeCapacityProviders" => {
            &["capacityProviders[]", "cluster", "include[]", "maxResults", "nextToken"]
        }
        "DescribeClusters" => &["clusters[]", "include[]"],
        "DescribeContainerInstances" => &["cluster", "containerInstances[]", "include[]"],
        "DescribeServices" => &["cluster", "include[]", "services[]"],
        "DescribeTaskDefinition" => &["include[]", "taskDefinition"],
        "DescribeTasks" => &["cluster", "include[]", "tasks[]"],
        "GetTaskProtection" => &["cluster", "tasks[]"],
        "ListAttributes" => {
            &["attributeName", "attributeValue", "cluster", "maxResults", "nextToken", "targetType"]
        }
        "ListClusters" => &["maxResults", "nextToken"],
        "ListContainerInstances" => &["cluster", "filter", "maxResults", "nextToken", "status"],
        "ListServices" => {
            &["cluster", "launchType", "maxResults", "nextToken", "schedulingStrategy"]
        }
        "ListTagsForResource" => &["resourceArn"],
        "ListTaskDefinitions" => &["familyPrefix", "maxResults", "nextToken"],
        "ListTasks" => &[
            "cluster",
            "containerInstance",
            "desiredStatus",
            "launchType",
            "maxResults",
            "nextToken",
            "serviceName",
        ],
        "PutAttributes" => &[
            "attributes[].name",
            "attributes[].targetId",
            "attributes[].targetType",
            "attributes[].value",
            "cluster",
        ],
        "RunTask" => &[
            // SDKs make one up by themselves. A second call with the same one runs its tasks again
            // here.
            "clientToken",
            "cluster",
            "count",
            "launchType",
            "placementConstraints[].expression",
            "placementConstraints[].type",
            "taskDefinition",
        ],
        "StopTask" => &["cluster", "reason", "task"],
        "TagResource" => &["resourceArn", "tags[].key", "tags[].value"],
        "UntagResource" => &["resourceArn", "tagKeys[]"],
        "UpdateContainerInstancesState" => &["cluster", "containerInstances[]", "status"],
        "UpdateService" => &[
            "cluster",
            "deploymentConfiguration.maximumPercent",
            "deploymentConfiguration.minimumHealthyPercent",
            "desiredCount",
            "service",
        ],
        "UpdateTaskProtection" => &["cluster", "expiresInMinutes", "protectionEnabled", "tasks[]"],
        // Auto Scaling.
        "CompleteLifecycleAction" => &[
            "AutoScalingGroupName",
            "InstanceId",
            "LifecycleActionResult",
            "LifecycleActionToken",
            "LifecycleHookName",
        ],
        "CreateOrUpdateTags" | "DeleteTags" => &[
            "Tags.member[].Key",
            // It is told, and no tag gets onto the instances that are launched.
            "Tags.member[].PropagateAtLaunch",
            "Tags.member[].ResourceId",
            "Tags.member[].ResourceType",
            "Tags.member[].Value",
        ],
        "DescribeAutoScalingGroups" => {
            &["AutoScalingGroupNames.member[]", "IncludeInstances", "MaxRecords", "NextToken"]
        }
        "DescribeAutoScalingInstances" => &["InstanceIds.member[]", "MaxRecords", "NextToken"],
        "DescribeInstanceRefreshes" => &["AutoScalingGroupName", "MaxRecords", "NextToken"],
        "DescribeLifecycleHooks" => &["AutoScalingGroupName", "LifecycleHookNames.member[]"],
        "LaunchInstances" => &[
            "AutoScalingGroupName",
            "AvailabilityZones.member[]",
            "ClientToken",
            "RequestedCapacity",
            "RetryStrategy",
        ],
        "PutLifecycleHook" => &[
            "AutoScalingGroupName",
            "DefaultResult",
            "HeartbeatTimeout",
            "LifecycleHookName",
            "LifecycleTransition",
            "NotificationMetadata",
            "NotificationTargetARN",
            "RoleARN",
        ],
        "RecordLifecycleActionHeartbeat" => {
            &["AutoScalingGroupName", "InstanceId", "LifecycleActionToken", "LifecycleHookName"]
        }
        "SetDesiredCapacity" => &["AutoScalingGroupName", "DesiredCapacity", "HonorCooldown"],
        "SetInstanceProtection" => {
            &["AutoScalingGroupName", "InstanceIds.member[]", "ProtectedFromScaleIn"]
        }
        "TerminateInstanceInAutoScalingGroup" => &["InstanceId", "ShouldDecrementDesiredCapacity"],
        // EC2.
        "DescribeInstanceAttribute" => &["Attribute", "InstanceId"],
        "DescribeInstances" => {
            &["Filter[].Name", "Filter[].Value[]", "InstanceId[]", "MaxResults", "NextToken"]
        }
        "DescribeInstanceStatus" => {
            &["Filter[].Name", "Filter[].Value[]", "MaxResults", "NextToken"]
        }
        "DescribeInstanceTypes" | "DescribeSubnets" => &["Filter[].Name", "Filter[].Value[]"],
        "DescribeLaunchTemplates" => &["LaunchTemplateId[]"],
        "DescribeSpotPriceHistory" => {
            &["Filter[].Name", "Filter[].Value[]", "MaxResults", "NextToken", "StartTime"]
        }
        // Elastic Load Balancing.
        "DescribeTargetGroups" => &["Marker", "PageSize"],
        // SNS, SQS and STS.
        "CreateTopic" => &["Name"],
        "GetCallerIdentity" => &[],
        "Publish" => &["Message", "Subject", "TopicArn"],
        "SendMessage" => &["DelaySeconds", "MessageBody", "QueueUrl"],
        // CloudWatch.
        "GetMetricData" => &[
            "EndTime",
            "MetricDataQueries[].Id",
            "MetricDataQueries[].MetricStat.Metric.Dimensions[].Name",
            "MetricDataQueries[].MetricStat.Metric.Dimensions[].Value",
            "MetricDataQueries[].MetricStat.Metric.MetricName",
            "MetricDataQueries[].MetricStat.Metric.Namespace",
            "MetricDataQueries[].MetricStat.Period",
            "MetricDataQueries[].MetricStat.Stat",
            "NextToken",
            "StartTime",
        ],
        // The Price List.
        "GetProducts" => &[
            "Filters[].Field",
            "Filters[].Type",
            "Filters[].Value",
            "FormatVersion",
            "MaxResults",
            "ServiceCode",
        ],
        _ => return None,
    };
    Some(members)
}

/// What of a JSON input is not taken. A member that is `null` is one that is not there.
pub(super) fn json_misfit(operation: &str, input: &Value) -> Option<Misfit> {
    json_misfit_at("", input, members(operation)?)
}

fn json_misfit_at(path: &str, value: &Value, members: &[&str]) -> Option<Misfit> {
    match value {
        Value::Object(object) => {
            object.iter().filter(|(_, value)| !value.is_null()).find_map(|(name, value)| match path
            {
                "" => json_misfit_at(name, value, members),
                path => json_misfit_at(&format!("{path}.{name}"), value, members),
            })
        }
        Value::Array(items) => {
            let path = format!("{path}[]");
            if items.is_empty() && members.iter().any(|member| member.starts_with(&path)) {
                return None;
            }
            match items.iter().find_map(|item| json_misfit_at(&path, item, members)) {
                None if items.is_empty() => misfit(&path, members),
                found => found,
            }
        }
        _ => misfit(path, members),
    }
}

/// What of the fields of a form is not taken.
pub(super) fn form_misfit<'f>(
    operation: &str,
    mut fields: impl Iterator<Item = (&'f str, &'f str)>,
) -> Option<Misfit> {
    let members = members(operation)?;
    fields.find_map(|(key, value)| {
        let path = form_path(key);
        // An empty list of a client that is told to send one.
        let list = format!("{path}.member[]");
        let is_empty_list = value.is_empty() && members.iter().any(|name| name.starts_with(&list));
        let is_taken = matches!(key, "Action" | "Version") || is_empty_list;
        if is_taken { None } else { misfit(&path, members) }
    })
}

/// The path of the field `KEY.member.1`: `KEY.member[]`.
fn form_path(key: &str) -> String {
    let mut path = String::new();
    for part in key.split('.') {
        match part.parse::<u32>() {
            Ok(_) => path += "[]",
            Err(_) if path.is_empty() => path += part,
            Err(_) => path = format!("{path}.{part}"),
        }
    }
    path
}

fn misfit(path: &str, members: &[&str]) -> Option<Misfit> {
    let goes_on = |whole: &str, start: &str| {
        whole.strip_prefix(start).is_some_and(|rest| rest.starts_with(['.', '[']))
    };
    if members.contains(&path) {
        return None;
    }
    let is_of_another_type =
        members.iter().any(|member| goes_on(member, path) || goes_on(path, member));
    Some(match is_of_another_type {
        true => Misfit::OfAnotherType(path.to_owned()),
        false => Misfit::Unknown(path.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_member_that_is_not_simulated_is_found_wherever_it_stands() {
        for (operation, input, path) in [
            ("ListTasks", json!({"cluster": "shop", "startedBy": "me"}), "startedBy"),
            ("ListTasks", json!({"family": []}), "family[]"),
            (
                "UpdateService",
                json!({"deploymentConfiguration": {"alarms": {"enable": true}}}),
                "deploymentConfiguration.alarms.enable",
            ),
            (
                "PutAttributes",
                json!({"attributes": [{"name": "a"}, {"name": "b", "colour": 1}]}),
                "attributes[].colour",
            ),
        ] {
            assert_eq!(json_misfit(operation, &input), Some(Misfit::Unknown(path.to_owned())));
        }
        for (operation, key) in [
            ("DescribeAutoScalingGroups", "Filters.member.1.Name"),
            ("CreateOrUpdateTags", "Tags.member.1.Colour"),
            ("DescribeInstanceStatus", "InstanceId.1"),
        ] {
            let fields = [("Action", operation), ("Version", "2011-01-01"), (key, "x")];
            let found = form_misfit(operation, fields.into_iter());
            assert_eq!(found, Some(Misfit::Unknown(form_path(key))), "{key}");
        }
    }

    #[test]
    fn a_member_of_another_type_is_not_taken_for_an_absent_one() {
        for (operation, input, path) in [
            ("DescribeClusters", json!({"include": "TAGS"}), "include"),
            ("DescribeClusters", json!({"include": [["TAGS"]]}), "include[][]"),
            ("ListTasks", json!({"cluster": ["shop"]}), "cluster[]"),
            ("PutAttributes", json!({"attributes": ["a"]}), "attributes[]"),
            ("UpdateService", json!({"deploymentConfiguration": 5}), "deploymentConfiguration"),
        ] {
            let found = json_misfit(operation, &input);
            assert_eq!(found, Some(Misfit::OfAnotherType(path.to_owned())), "{input}");
        }
        let field = ("AutoScalingGroupNames.1", "x");
        let found = form_misfit("DescribeAutoScalingGroups", [field].into_iter());
        assert_eq!(found, Some(Misfit::Unknown("AutoScalingGroupNames[]".to_owned())));
    }

    #[test]
    fn what_is_taken_may_be_absent_or_empty() {
        let input = json!({"cluster": null, "attributes": [], "maxResults": null});
        assert_eq!(json_misfit("PutAttributes", &input), None);
        let fields = [("InstanceIds", ""), ("MaxRecords", "5")];
        assert_eq!(form_misfit("DescribeAutoScalingInstances", fields.into_iter()), None);
    }
}
