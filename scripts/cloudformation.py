#!/usr/bin/env python3
"""Writes infra/cloudformation/ebb.yaml, the Terraform module as a CloudFormation template; with --check
it only says whether that is up to date.

Nothing is stated twice: the module is applied to a provider that makes nothing (`terraform test`), and
what it would have made is put into CloudFormation's words. What only the account knows, and what is a
parameter of the template, has values there that stand for it: `STANDS_FOR`. Where a parameter changes
which permissions, alarms or schedules there are, the module is applied with and without, and what
differs becomes a condition: `VARIANTS`.
"""

import json
import os
import pathlib
import re
import shutil
import sys

import yaml

import module_tables

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "infra" / "tests"))
import terraform  # noqa: E402

TEMPLATE = ROOT / "infra" / "cloudformation" / "ebb.yaml"
STAGE = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "cloudformation"

HERE = "zz-region-9:999999999999"
ALARM_TOPIC = f"arn:aws-zz:sns:{HERE}:qqalarmsqq"
NOTICE_TOPIC = f"arn:aws-zz:sns:{HERE}:qqnoticesqq"
# The longer ones first. Each is well-formed, as the module refuses what is not.
STANDS_FOR = {
    ALARM_TOPIC: "AlarmTopicArn",
    NOTICE_TOPIC: "NotificationTopicArn",
    "qqprefixqq": "NamePrefix",
    "qqclusterqq": "Cluster",
    "qqgroupqq": "AutoScalingGroup",
    "qqbucketqq": "PackageBucket",
    "qqkeyqq": "PackageKeyPrefix",
    "999999999999": "AWS::AccountId",
    "zz-region-9": "AWS::Region",
    "aws-zz": "AWS::Partition",
}
# By condition: when it holds, and the variable that it sets.
VARIANTS = {
    "ReaperActs": ({"Fn::Equals": [{"Ref": "ReaperMode"}, "act"]}, 'reaper_mode = "act"'),
    "TellsOfAlarms": (
        {"Fn::Not": [{"Fn::Equals": [{"Ref": "AlarmTopicArn"}, ""]}]},
        f'alarm_actions = ["{ALARM_TOPIC}"]',
    ),
    "SendsNotices": (
        {"Fn::Not": [{"Fn::Equals": [{"Ref": "NotificationTopicArn"}, ""]}]},
        f'notification_topic_arn = "{NOTICE_TOPIC}"',
    ),
}
# What the template leaves as it is by default, as more than an environment variable follows from it.
NOT_PARAMETERS = {"HOP_SECONDS"}

# By kind of resource: CloudFormation's kind, and its property for each attribute. A dot leads into a
# block, a property in brackets is a list with this one value.
KINDS = {
    "aws_autoscaling_lifecycle_hook": ("AWS::AutoScaling::LifecycleHook", {
        "name": "LifecycleHookName",
        "autoscaling_group_name": "AutoScalingGroupName",
        "lifecycle_transition": "LifecycleTransition",
        "heartbeat_timeout": "HeartbeatTimeout",
        "default_result": "DefaultResult",
        "notification_target_arn": "NotificationTargetARN",
        "role_arn": "RoleARN",
    }),
    "aws_cloudwatch_dashboard": ("AWS::CloudWatch::Dashboard", {
        "dashboard_name": "DashboardName",
        "dashboard_body": "DashboardBody",
    }),
    "aws_cloudwatch_event_rule": ("AWS::Events::Rule", {
        "name": "Name",
        "description": "Description",
        "event_pattern": "EventPattern",
    }),
    "aws_cloudwatch_log_group": ("AWS::Logs::LogGroup", {
        "name": "LogGroupName",
        "retention_in_days": "RetentionInDays",
    }),
    "aws_cloudwatch_metric_alarm": ("AWS::CloudWatch::Alarm", {
        "alarm_name": "AlarmName",
        "alarm_description": "AlarmDescription",
        "namespace": "Namespace",
        "metric_name": "MetricName",
        "dimensions": "Dimensions",
        "statistic": "Statistic",
        "period": "Period",
        "evaluation_periods": "EvaluationPeriods",
        "comparison_operator": "ComparisonOperator",
        "threshold": "Threshold",
        "treat_missing_data": "TreatMissingData",
        "alarm_actions": "AlarmActions",
        "ok_actions": "OKActions",
    }),
    "aws_cloudwatch_query_definition": ("AWS::Logs::QueryDefinition", {
        "name": "Name",
        "log_group_names": "LogGroupNames",
        "query_string": "QueryString",
    }),
    "aws_iam_role": ("AWS::IAM::Role", {
        "name": "RoleName",
        "path": "Path",
        "assume_role_policy": "AssumeRolePolicyDocument",
    }),
    "aws_lambda_event_source_mapping": ("AWS::Lambda::EventSourceMapping", {
        "event_source_arn": "EventSourceArn",
        "function_name": "FunctionName",
        "batch_size": "BatchSize",
        "maximum_batching_window_in_seconds": "MaximumBatchingWindowInSeconds",
        "function_response_types": "FunctionResponseTypes",
    }),
    "aws_lambda_function": ("AWS::Lambda::Function", {
        "function_name": "FunctionName",
        "description": "Description",
        "role": "Role",
        "runtime": "Runtime",
        "handler": "Handler",
        "architectures": "Architectures",
        "s3_bucket": "Code.S3Bucket",
        "s3_key": "Code.S3Key",
        "memory_size": "MemorySize",
        "timeout": "Timeout",
        "reserved_concurrent_executions": "ReservedConcurrentExecutions",
        "environment.variables": "Environment.Variables",
        "logging_config.log_format": "LoggingConfig.LogFormat",
        "logging_config.log_group": "LoggingConfig.LogGroup",
        "logging_config.application_log_level": "LoggingConfig.ApplicationLogLevel",
        "logging_config.system_log_level": "LoggingConfig.SystemLogLevel",
    }),
    "aws_lambda_function_event_invoke_config": ("AWS::Lambda::EventInvokeConfig", {
        "function_name": "FunctionName",
        "maximum_retry_attempts": "MaximumRetryAttempts",
        "maximum_event_age_in_seconds": "MaximumEventAgeInSeconds",
        "destination_config.on_failure.destination": "DestinationConfig.OnFailure.Destination",
    }),
    "aws_lambda_permission": ("AWS::Lambda::Permission", {
        "action": "Action",
        "function_name": "FunctionName",
        "principal": "Principal",
        "source_arn": "SourceArn",
    }),
    "aws_scheduler_schedule": ("AWS::Scheduler::Schedule", {
        "name": "Name",
        "description": "Description",
        "schedule_expression": "ScheduleExpression",
        "state": "State",
        "flexible_time_window.mode": "FlexibleTimeWindow.Mode",
        "target.arn": "Target.Arn",
        "target.role_arn": "Target.RoleArn",
        "target.input": "Target.Input",
        "target.retry_policy.maximum_event_age_in_seconds": "Target.RetryPolicy.MaximumEventAgeInSeconds",
        "target.retry_policy.maximum_retry_attempts": "Target.RetryPolicy.MaximumRetryAttempts",
        "target.dead_letter_config.arn": "Target.DeadLetterConfig.Arn",
    }),
    "aws_sns_topic": ("AWS::SNS::Topic", {"name": "TopicName"}),
    "aws_sns_topic_policy": ("AWS::SNS::TopicPolicy", {
        "arn": "[Topics]",
        "policy": "PolicyDocument",
    }),
    "aws_sns_topic_subscription": ("AWS::SNS::Subscription", {
        "topic_arn": "TopicArn",
        "protocol": "Protocol",
        "endpoint": "Endpoint",
        "redrive_policy": "RedrivePolicy",
    }),
    "aws_sqs_queue": ("AWS::SQS::Queue", {
        "name": "QueueName",
        "message_retention_seconds": "MessageRetentionPeriod",
        "visibility_timeout_seconds": "VisibilityTimeout",
        "sqs_managed_sse_enabled": "SqsManagedSseEnabled",
        "redrive_policy": "RedrivePolicy",
    }),
    "aws_sqs_queue_policy": ("AWS::SQS::QueuePolicy", {
        "queue_url": "[Queues]",
        "policy": "PolicyDocument",
    }),
}
# What CloudFormation has as a part of another resource: of which kind, by which attributes the two
# belong together, and under which property a list has what.
PARTS = {
    "aws_cloudwatch_event_target": ("aws_cloudwatch_event_rule", ("rule", "name"), "Targets", {
        "arn": "Arn",
        "retry_policy.maximum_event_age_in_seconds": "RetryPolicy.MaximumEventAgeInSeconds",
        "retry_policy.maximum_retry_attempts": "RetryPolicy.MaximumRetryAttempts",
        "dead_letter_config.arn": "DeadLetterConfig.Arn",
    }),
    "aws_iam_role_policy": ("aws_iam_role", ("role", "id"), "Policies", {
        "name": "PolicyName",
        "policy": "PolicyDocument",
    }),
}
# Documents that CloudFormation takes as objects; others stay text.
DOCUMENTS = {"policy", "assume_role_policy", "event_pattern", "redrive_policy"}
# What the module reads beside its own files.
READ = ["charts.json", "time_zones.txt"]
# Auto Scaling sends a test message at once, to whoever is there.
BEFORE_HOOKS = {"aws_lambda_permission", "aws_sns_topic_policy", "aws_sns_topic_subscription"}


def render():
    """What the module makes, by the name of each variant and "base"."""
    shutil.rmtree(STAGE, ignore_errors=True)
    (STAGE / "tests").mkdir(parents=True)
    for file in [*(ROOT / "infra").glob("*.tf"), *(ROOT / "infra" / name for name in READ)]:
        shutil.copy(file, STAGE)
    environment = {"TF_DATA_DIR": str(STAGE / ".terraform")}
    terraform.init(STAGE, "put into CloudFormation's words", environment)
    # Resources of one kind would share an ARN: once their addresses are known, each gets its own.
    first = states(environment, "", ["base"])["base"]
    own = [
        f"override_resource {{\n  target = {resource['address']}\n"
        f'  values = {{ arn = "{own_arn(number)}", id = "own-{number}" }}\n}}\n'
        for number, resource in enumerate(first)
        if resource["type"] in ARN_KINDS
    ]
    return states(environment, "".join(own), ["base", *VARIANTS])


ARN_KINDS = {
    "aws_cloudwatch_event_rule",
    "aws_cloudwatch_metric_alarm",
    "aws_iam_role",
    "aws_lambda_function",
    "aws_sns_topic",
    "aws_sqs_queue",
}


def own_arn(number):
    return f"arn:aws:own:us-east-1:{800000000000 + number}:own"


def states(environment, overrides, runs):
    account, partition, region = "999999999999", "aws-zz", "zz-region-9"
    mocks = [
        f'  mock_data "{kind}" {{\n    defaults = {{ {attribute} = "{value}" }}\n  }}\n'
        for kind, attribute, value in [
            ("aws_caller_identity", "account_id", account),
            ("aws_partition", "partition", partition),
            ("aws_region", "id", region),
        ]
    ] + [
        f'  mock_resource "{kind}" {{\n    defaults = {{ arn = "{own_arn(0)}" }}\n  }}\n'
        for kind in sorted(ARN_KINDS)
    ]
    variants = [
        f'run "{run}" {{\n  variables {{\n    {VARIANTS[run][1] if run in VARIANTS else ""}\n  }}\n}}\n'
        for run in runs
    ]
    (STAGE / "tests" / "render.tftest.hcl").write_text(
        f'mock_provider "aws" {{\n{"".join(mocks)}}}\n{overrides}'
        'variables {\n  name_prefix = "qqprefixqq"\n  ecs_clusters = ["qqclusterqq"]\n'
        '  auto_scaling_groups = ["qqgroupqq"]\n'
        '  package_s3 = { bucket = "qqbucketqq", key = "qqkeyqq%s-arm64.zip" }\n}\n' + "".join(variants)
    )
    answer = terraform.run(STAGE, "test", "-json", "-verbose", environment=environment)
    if answer.returncode != 0:
        sys.exit(f"terraform test of {STAGE}:\n{answer.stdout[:6000]}")
    lines = [json.loads(line) for line in answer.stdout.splitlines() if line.startswith("{")]
    return {
        line["@testrun"]: [
            resource
            for resource in line["test_state"]["root_module"]["resources"]
            if resource["mode"] == "managed"
        ]
        for line in lines
        if line["type"] == "test_state"
    }


def pascal(text):
    return "".join(word[:1].upper() + word[1:] for word in re.split(r"[^A-Za-z0-9]+", text))


def logical_id(resource):
    """Of `aws_sqs_queue.dead_letters["spot-drainer"]`: SqsQueueDeadLettersSpotDrainer."""
    key = resource.get("index", "")
    words = [resource["type"].removeprefix("aws_")]
    words += [] if resource["name"] == "this" else [resource["name"]]
    words += [key] if isinstance(key, str) and key not in STANDS_FOR else []
    return pascal("_".join(words))


def attribute(values, path):
    for step in path.split("."):
        # A block is a list of one.
        values = (values[0] if values else {}) if isinstance(values, list) else values
        values = values.get(step)
    return values


def properties(values, attributes):
    result = {}
    for path, name in attributes.items():
        value = attribute(values, path)
        if path in DOCUMENTS:
            # What the module leaves out, a mock fills with a word.
            value = json.loads(value) if value and value.startswith("{") else None
        if path == "dimensions":
            value = [{"Name": key, "Value": dimension} for key, dimension in value.items()]
        if value in (None, [], "") or (path, value) == ("reserved_concurrent_executions", -1):
            continue
        if name.startswith("["):
            name, value = name.strip("[]"), [value]
        *outer, last = name.split(".")
        target = result
        for step in outer:
            target = target.setdefault(step, {})
        target[last] = value
    return result


def template_resources(resources):
    """The resources in CloudFormation's words, by logical id."""
    references = {}
    for resource in resources:
        values, own = resource["values"], logical_id(resource)
        if resource["type"] in KINDS:
            has_arn = resource["type"] in ARN_KINDS - {"aws_sns_topic"}
            if values.get("arn") and resource["type"] != "aws_sns_topic_policy":
                references[values["arn"]] = f"{own}.Arn" if has_arn else own
            references[values["id"]] = own
            # By name in other resources, which are made after it then.
            if resource["type"] in ("aws_lambda_function", "aws_cloudwatch_log_group"):
                references[values.get("function_name", values.get("name"))] = own
    result = {}
    for resource in resources:
        if resource["type"] not in KINDS:
            continue
        kind, attributes = KINDS[resource["type"]]
        values, own = resource["values"], logical_id(resource)
        found = properties(values, attributes)
        if resource["type"] == "aws_lambda_function":
            variables = found["Environment"]["Variables"]
            chosen = {name: {"Ref": pascal(name.lower())} for name in settings(variables)}
            found["Environment"] = {"Variables": variables | chosen}
        if resource["type"] == "aws_lambda_function_event_invoke_config":
            found["Qualifier"] = "$LATEST"
        for part in resources:
            if part["type"] in PARTS:
                whole, (its, whose), name, attributes = PARTS[part["type"]]
                if whole == resource["type"] and part["values"][its] == values[whose]:
                    entry = properties(part["values"], attributes)
                    entry |= {"Id": "target"} if name == "Targets" else {}
                    found.setdefault(name, []).append(entry)
            if part["type"] == "aws_lambda_function_recursion_config":
                if part["values"]["function_name"] == values.get("function_name") and kind.endswith("Function"):
                    found["RecursiveLoop"] = part["values"]["recursive_loop"]
        result[own] = {"Type": kind, "Properties": in_words(found, references, own)}
        if resource["type"] == "aws_autoscaling_lifecycle_hook":
            before = [logical_id(other) for other in resources if other["type"] in BEFORE_HOOKS]
            result[own]["DependsOn"] = sorted(before)
    return result


def settings(variables):
    """The settings that are parameters: numbers of which nothing else follows."""
    return [
        name
        for name, value in variables.items()
        if isinstance(value, str) and re.fullmatch(r"\d+", value) and name not in NOT_PARAMETERS
    ]


def in_words(value, references, own):
    """The value with what stands for something replaced by CloudFormation's functions."""
    if isinstance(value, dict):
        return {key: in_words(each, references, own) for key, each in value.items()}
    if isinstance(value, list):
        return [in_words(each, references, own) for each in value]
    if not isinstance(value, str):
        return value
    target = references.get(value)
    if target and target.split(".")[0] != own:
        return {"Fn::GetAtt": target.split(".")} if "." in target else {"Ref": target}
    if "${" in value:
        sys.exit(f"{own}: {value} would be read as a reference")
    text = value
    for arn, target in references.items():
        if arn.startswith("arn:"):
            text = text.replace(arn, "${" + target + "}")
    for token, name in STANDS_FOR.items():
        text = text.replace(token, "${" + name + "}")
    whole = re.fullmatch(r"\$\{([\w:]+)\}", text)
    if whole:
        return {"Ref": whole[1]}
    return {"Fn::Sub": text} if "${" in text else text


NOTHING = {"Ref": "AWS::NoValue"}


def merged(condition, so_far, base, variant):
    """What `so_far` became of `base`, with a condition where `variant` differs, as deep as it can be."""
    if base == variant:
        return so_far
    if all(isinstance(each, dict) and not is_function(each) for each in (base, variant)):
        result = {
            key: merged(condition, value, base[key], variant[key])
            if key in base and key in variant
            else (value if key not in base else choice(condition, value, NOTHING))
            for key, value in so_far.items()
        }
        added = {key: each for key, each in variant.items() if key not in base}
        return result | {key: choice(condition, NOTHING, each) for key, each in added.items()}
    if all(isinstance(each, list) for each in (base, variant)):
        names = [name_of(each) for each in base]
        if [name for name in map(name_of, variant) if name in names] == names:
            result, rest = [], list(so_far)
            for each in variant:
                name = name_of(each)
                if name not in names:
                    result.append(choice(condition, NOTHING, each))
                    continue
                # What other conditions have put before it stays there.
                while name_of(rest[0]) != name:
                    result.append(rest.pop(0))
                result.append(merged(condition, rest.pop(0), base[names.index(name)], each))
            return result + rest
    return choice(condition, so_far, variant)


def name_of(element):
    """What tells an element of a list from others: statements and policies have names."""
    names = [element.get(key) for key in ("Sid", "PolicyName")] if isinstance(element, dict) else []
    return next(filter(None, names), None) or json.dumps(element)


def choice(condition, without, when):
    return {"Fn::If": [condition, when, without]}


def is_function(value):
    return any(key == "Ref" or key.startswith("Fn::") for key in value)


def variable(name):
    """The description of a variable of the module, and what it must be like."""
    body = dict(module_tables.blocks("variables.tf", "variable"))[name]
    return body, module_tables.attribute(body, "description")


def parameters(resources, hook):
    prefix, described = variable("name_prefix")
    pattern = re.search(r'regex\("(\^[^"]+\$)", var\.name_prefix', prefix)[1]
    topic = {"Type": "String", "Default": ""}
    result = {
        "NamePrefix": {
            "Description": described,
            "Type": "String",
            "Default": module_tables.attribute(prefix, "default"),
            "AllowedPattern": pattern,
        },
        "Cluster": {"Description": "Name of the ECS cluster to look after.", "Type": "String"},
        "AutoScalingGroup": {
            "Description": "Name of its Auto Scaling group, which gets a termination hook.",
            "Type": "String",
        },
        "PackageBucket": {
            "Description": "Bucket with the zips of a release, in this Region.",
            "Type": "String",
        },
        "PackageKeyPrefix": {
            "Description": "What stands in the bucket before spot-drainer-arm64.zip and the others, "
            "with the release in it, such as ebb/v0.2.0/.",
            "Type": "String",
        },
        "ReaperMode": {
            "Description": variable("reaper_mode")[1],
            "Type": "String",
            "Default": "plan",
            "AllowedValues": ["plan", "act"],
        },
        "AlarmTopicArn": {"Description": "SNS topic that the alarms tell. Empty: none.", **topic},
        "NotificationTopicArn": {
            "Description": variable("notification_topic_arn")[1].replace("Null:", "Empty:"),
            **topic,
        },
    }
    for resource in resources:
        if resource["type"] != "aws_lambda_function":
            continue
        variables = attribute(resource["values"], "environment.variables")
        for setting in settings(variables):
            name = setting.lower()
            body, described = variable(name)
            limits = re.search(rf"var\.{name} >= (\d+) && var\.{name} <= (\d+)", body)
            if not limits:
                sys.exit(f"infra/variables.tf: {name} is a number whose limits are not found")
            least, most = limits.groups()
            # Auto Scaling holds an instance for 100 heartbeats.
            beats = 100 * hook["heartbeat_timeout"] if name == "drain_timeout_seconds" else int(most)
            result[pascal(name)] = {
                "Description": described,
                "Type": "Number",
                "Default": int(variables[setting]),
                "MinValue": int(least),
                "MaxValue": min(int(most), beats),
            }
    return result


def template():
    rendered = render()
    base = template_resources(rendered["base"])
    resources = base
    for condition in VARIANTS:
        variant = template_resources(rendered[condition])
        if not base.keys() <= variant.keys():
            sys.exit(f"{condition} leaves resources out, which needs a Condition for its opposite")
        own = {name: {"Condition": condition} | variant.pop(name) for name in sorted(variant.keys() - base.keys())}
        resources = merged(condition, resources, base, variant) | own
    hooks = [each for each in rendered["base"] if each["type"] == "aws_autoscaling_lifecycle_hook"]
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "Ebb drains ECS container instances before they go. See docs/deploy.md.",
        "Parameters": parameters(rendered["base"], hooks[0]["values"]),
        "Conditions": {name: condition for name, (condition, _) in VARIANTS.items()},
        "Resources": resources,
        "Outputs": {
            "LifecycleTopicArn": {
                "Description": "Topic that termination hooks publish to.",
                "Value": {"Ref": "SnsTopicLifecycle"},
            },
            "LifecyclePublisherRoleArn": {
                "Description": "Role as which Auto Scaling publishes to that topic.",
                "Value": {"Fn::GetAtt": ["IamRoleHooks", "Arn"]},
            },
        },
    }


class Dumper(yaml.SafeDumper):
    """Without anchors, which CloudFormation does not take everywhere."""

    def ignore_aliases(self, data):
        return True


HEADER = "# Written by scripts/cloudformation.py from the Terraform module: change that, not this.\n"


def main():
    if terraform.skipped("put into CloudFormation's words"):
        return 0
    terraform.require("put into CloudFormation's words")
    text = HEADER + yaml.dump(template(), Dumper=Dumper, sort_keys=False, width=110)
    if "--check" not in sys.argv:
        TEMPLATE.parent.mkdir(exist_ok=True)
        TEMPLATE.write_text(text)
    elif not TEMPLATE.exists() or TEMPLATE.read_text() != text:
        sys.exit(f"{TEMPLATE.relative_to(ROOT)} is out of date; run scripts/cloudformation.py")
    return 0


if __name__ == "__main__":
    sys.exit(main())
