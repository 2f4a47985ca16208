"""Asks the simulated Region's server what AWS's own Python SDK would ask AWS.

botocore reads every answer by AWS's service models, which the server's authors did not write: a member that is
misspelt, a list that is a map, an error code that no exception class knows shows up here. `SameAsMoto` puts the same
questions to moto, which others wrote after AWS.

Run it with the path of the built server: EBB_REGION=PATH/ebb-region python test_region.py
"""

import datetime
import fnmatch
import functools
import json
import logging
import os
import pathlib
import re
import subprocess
import time
import unittest
import urllib.error
import urllib.request

for _name in [name for name in os.environ if name.startswith("AWS_")]:
    del os.environ[_name]  # The caller's own settings must not matter.
os.environ.update(AWS_CONFIG_FILE=os.devnull, AWS_SHARED_CREDENTIALS_FILE=os.devnull)

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError
from botocore.parsers import ResponseParserError, create_parser
from botocore.serialize import create_serializer
from moto.ec2.utils import generate_instance_identity_document
from moto.server import ThreadedMotoServer

from shapes import answer_misfits, misfits, request_misfits

ROOT = pathlib.Path(__file__).resolve().parents[4]
GROUP = "shop-on-demand"
TOPIC = "arn:aws:sns:eu-west-1:111122223333:notices"
ROLE = "arn:aws:iam::111122223333:role/hooks"
FIRST, SECOND = "i-0a1b2c3d4e5f60001", "i-0a1b2c3d4e5f60002"
SHOP = {"cluster": "shop"}
SERVICES = ["ecs", "autoscaling", "sns", "sts"]
SESSION = boto3.Session("AKIDEXAMPLE", "example", region_name="eu-west-1")
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def ids(*arns, **more):
    return SHOP | {"containerInstances": arns} | more


def attributes(target, *names, value="1", **more):
    return SHOP | {"attributes": [{"name": name, "value": value, "targetId": target} | more for name in names]}


def names(target, *names):
    """Attributes as they are named to delete them."""
    return SHOP | {"attributes": [{"name": name, "targetId": target} for name in names]}


def protection(*tasks, **more):
    return SHOP | {"tasks": tasks, "protectionEnabled": True} | more


def capacity(wanted, group=GROUP):
    return {"AutoScalingGroupName": group, "DesiredCapacity": wanted}


def hook(**more):
    transition = "autoscaling:EC2_INSTANCE_TERMINATING"
    return dict(AutoScalingGroupName=GROUP, LifecycleHookName="drain", LifecycleTransition=transition) | more


def action(**more):
    return dict(AutoScalingGroupName=GROUP, LifecycleHookName="drain") | more


def scale_in_protection(*instance_ids, group=GROUP):
    return dict(InstanceIds=instance_ids, AutoScalingGroupName=group, ProtectedFromScaleIn=True)


def termination(instance_id, decrement=True):
    return dict(InstanceId=instance_id, ShouldDecrementDesiredCapacity=decrement)


LIST, DESCRIBE = "ecs.list_container_instances", "ecs.describe_container_instances"
UPDATE, PUT = "ecs.update_container_instances_state", "ecs.put_attributes"
GROUPS, SET_DESIRED = "autoscaling.describe_auto_scaling_groups", "autoscaling.set_desired_capacity"
INVALID, NO_CLUSTER = "InvalidParameterException", "ClusterNotFoundException"
INSTANCES, HOOKS = "autoscaling.describe_auto_scaling_instances", "autoscaling.describe_lifecycle_hooks"
PUT_HOOK, COMPLETE = "autoscaling.put_lifecycle_hook", "autoscaling.complete_lifecycle_action"
HEARTBEAT = "autoscaling.record_lifecycle_action_heartbeat"
TERMINATE = "autoscaling.terminate_instance_in_auto_scaling_group"
CLUSTERS, PROVIDERS = "ecs.describe_clusters", "ecs.describe_capacity_providers"
LIST_SERVICES, DEFINITION = "ecs.list_services", "ecs.describe_task_definition"
DELETE, PROTECT = "ecs.delete_attributes", "ecs.update_task_protection"
RUN, LIST_ATTRIBUTES, SET_SERVICE = "ecs.run_task", "ecs.list_attributes", "ecs.update_service"
PROTECT_INSTANCE = "autoscaling.set_instance_protection"
INSTANCE_TYPE = {"targetType": "container-instance"}
UNKNOWN = "i-00000000000000000"
VALIDATION = "ClientError: ValidationError"
# Calls, and the error that each ends in (None: an answer). @0 to @3 stand for container instances.
CASES = [
    ("clusters", "ecs.list_clusters", {}, None),
    ("list", LIST, SHOP, None),
    ("list-active", LIST, SHOP | {"status": "ACTIVE"}, None),
    ("list-bad-status", LIST, SHOP | {"status": "GONE"}, INVALID),
    ("list-filter", LIST, SHOP | {"filter": "ec2InstanceId == i-00000000000000000"}, None),
    ("list-bad-filter", LIST, SHOP | {"filter": "the best ones"}, INVALID),
    ("list-long-filter", LIST, SHOP | {"filter": f"ec2InstanceId in [{'i-00000000000000000,' * 100}]"}, INVALID),
    ("list-page", LIST, SHOP | {"maxResults": 5}, None),
    ("list-page-of-0", LIST, SHOP | {"maxResults": 0}, INVALID),
    ("list-page-of-101", LIST, SHOP | {"maxResults": 101}, INVALID),
    ("list-bad-page", LIST, SHOP | {"nextToken": "x"}, INVALID),
    ("list-default-cluster", LIST, {}, NO_CLUSTER),
    ("list-elsewhere", LIST, {"cluster": "x"}, NO_CLUSTER),
    ("describe", DESCRIBE, ids("@0"), None),
    ("describe-missing", DESCRIBE, ids("@0", "x"), None),
    ("describe-none", DESCRIBE, ids(), INVALID),
    ("describe-101", DESCRIBE, ids(*["x"] * 101), INVALID),
    ("describe-elsewhere", DESCRIBE, ids("@0", cluster="x"), NO_CLUSTER),
    ("drain", UPDATE, ids("@1", status="DRAINING"), None),
    ("drain-again", UPDATE, ids("@1", status="DRAINING"), None),
    ("drain-missing", UPDATE, ids("x", status="DRAINING"), None),
    ("activate", UPDATE, ids("@1", status="ACTIVE"), None),
    ("drain-none", UPDATE, ids(status="DRAINING"), INVALID),
    ("drain-11", UPDATE, ids(*["x"] * 11, status="DRAINING"), INVALID),
    ("set-bad-status", UPDATE, ids("@1", status="INACTIVE"), INVALID),
    ("drain-elsewhere", UPDATE, ids("@1", cluster="x", status="DRAINING"), NO_CLUSTER),
    ("put", PUT, attributes("@2", "ebb"), None),
    ("put-typed", PUT, attributes("@2", "ebb", targetType="container-instance"), None),
    ("attributes", LIST_ATTRIBUTES, SHOP | INSTANCE_TYPE | {"attributeName": "ebb"}, None),
    ("put-none", PUT, attributes("@2"), INVALID),
    ("put-11", PUT, attributes("@3", *"abcdefghijk"), INVALID),
    ("put-missing", PUT, attributes("x/y", "ebb"), "TargetNotFoundException"),
    ("put-elsewhere", PUT, attributes("@2", "ebb") | {"cluster": "x"}, NO_CLUSTER),
    ("delete", DELETE, names("@2", "ebb", "never-put"), None),
    ("delete-none", DELETE, names("@2"), INVALID),
    ("delete-11", DELETE, names("@3", *"abcdefghijk"), INVALID),
    ("delete-missing", DELETE, names("x/y", "ebb"), "TargetNotFoundException"),
    ("delete-elsewhere", DELETE, names("@2", "ebb") | {"cluster": "x"}, NO_CLUSTER),
    ("clusters-described", CLUSTERS, {"clusters": ["shop", "x"]}, None),
    ("cluster-default", CLUSTERS, {}, None),
    ("clusters-101", CLUSTERS, {"clusters": ["x"] * 101}, INVALID),
    ("provider-missing", PROVIDERS, {"capacityProviders": ["x"]}, None),
    ("providers-page-of-11", PROVIDERS, {"maxResults": 11}, INVALID),
    ("services", LIST_SERVICES, SHOP, None),
    ("services-fargate", LIST_SERVICES, SHOP | {"launchType": "FARGATE"}, None),
    ("services-elsewhere", LIST_SERVICES, {"cluster": "x"}, NO_CLUSTER),
    ("services-bad-strategy", LIST_SERVICES, SHOP | {"schedulingStrategy": "x"}, INVALID),
    ("services-page-of-101", LIST_SERVICES, SHOP | {"maxResults": 101}, INVALID),
    ("definition-missing", DEFINITION, {"taskDefinition": "x:1"}, "ClientException"),
    ("protect-missing", PROTECT, protection("x"), None),
    ("protect-11", PROTECT, protection(*["x"] * 11), INVALID),
    ("protect-too-long", PROTECT, protection("x", expiresInMinutes=2881), INVALID),
    ("group", GROUPS, {"AutoScalingGroupNames": [GROUP]}, None),
    ("groups-51", GROUPS, {"AutoScalingGroupNames": ["x"] * 51}, VALIDATION),
    ("groups-100", GROUPS, {"AutoScalingGroupNames": ["x"] * 100, "MaxRecords": 100}, None),
    ("groups-page-of-101", GROUPS, {"MaxRecords": 101}, VALIDATION),
    ("unknown-group", GROUPS, {"AutoScalingGroupNames": ["x"]}, None),
    ("raise", SET_DESIRED, capacity(8, "shop-spot"), None),
    ("above-maximum", SET_DESIRED, capacity(11, "shop-spot"), VALIDATION),
    ("below-minimum", SET_DESIRED, capacity(1, "shop-spot"), VALIDATION),
    ("raise-unknown-group", SET_DESIRED, capacity(7, "x"), VALIDATION),
    ("instance-unknown", INSTANCES, {"InstanceIds": [UNKNOWN]}, None),
    ("instances-51", INSTANCES, {"InstanceIds": [UNKNOWN] * 51}, VALIDATION),
    ("terminate-unknown", TERMINATE, termination(UNKNOWN), VALIDATION),
    ("terminate-half", TERMINATE, {"InstanceId": UNKNOWN}, VALIDATION),
    ("hooks-none", HOOKS, {"AutoScalingGroupName": GROUP}, None),
    ("put-hook", PUT_HOOK, hook(HeartbeatTimeout=300, DefaultResult="CONTINUE"), None),
    ("hooks", HOOKS, {"AutoScalingGroupName": GROUP}, None),
    ("put-hook-again", PUT_HOOK, action(NotificationMetadata="x"), None),
    ("hooks-changed", HOOKS, {"AutoScalingGroupName": GROUP}, None),
    ("put-hook-heartbeat-29", PUT_HOOK, hook(HeartbeatTimeout=29), VALIDATION),
    ("put-hook-heartbeat-7201", PUT_HOOK, hook(HeartbeatTimeout=7201), VALIDATION),
    ("put-hook-bad-result", PUT_HOOK, hook(DefaultResult="x"), VALIDATION),
    ("put-hook-no-transition", PUT_HOOK, action(LifecycleHookName="new"), VALIDATION),
    ("put-hook-unknown-group", PUT_HOOK, hook(AutoScalingGroupName="x"), VALIDATION),
    ("complete-unknown", COMPLETE, action(InstanceId=UNKNOWN, LifecycleActionResult="CONTINUE"), VALIDATION),
    ("complete-bad-result", COMPLETE, action(InstanceId=UNKNOWN, LifecycleActionResult="x"), VALIDATION),
    ("heartbeat-unknown", HEARTBEAT, action(LifecycleActionToken="0" * 36), VALIDATION),
    ("tasks", "ecs.list_tasks", SHOP, None),
    ("tasks-pending", "ecs.list_tasks", SHOP | {"desiredStatus": "PENDING"}, None),
    ("tasks-bad-status", "ecs.list_tasks", SHOP | {"desiredStatus": "x"}, INVALID),
    ("tasks-unknown-service", "ecs.list_tasks", SHOP | {"serviceName": "x"}, "ServiceNotFoundException"),
    ("tasks-elsewhere", "ecs.list_tasks", {"cluster": "x"}, NO_CLUSTER),
    ("task-missing", "ecs.describe_tasks", SHOP | {"tasks": ["x"]}, None),
    ("tasks-none", "ecs.describe_tasks", SHOP | {"tasks": []}, INVALID),
    ("tasks-101", "ecs.describe_tasks", SHOP | {"tasks": ["x"] * 101}, INVALID),
    ("stop-missing", "ecs.stop_task", SHOP | {"task": "x"}, INVALID),
    ("protection-missing", "ecs.get_task_protection", SHOP | {"tasks": ["x"]}, None),
    ("protection-101", "ecs.get_task_protection", SHOP | {"tasks": ["x"] * 101}, INVALID),
    ("service-missing", "ecs.describe_services", SHOP | {"services": ["x"]}, None),
    ("services-11", "ecs.describe_services", SHOP | {"services": ["x"] * 11}, INVALID),
    ("publish", "sns.publish", {"TopicArn": "@topic", "Message": "<a> & 🚰", "Subject": "A subject"}, None),
    ("attributes-elsewhere", LIST_ATTRIBUTES, INSTANCE_TYPE | {"cluster": "x"}, NO_CLUSTER),
    ("attributes-untyped", LIST_ATTRIBUTES, SHOP, INVALID),
    ("attributes-value-only", LIST_ATTRIBUTES, SHOP | INSTANCE_TYPE | {"attributeValue": "x"}, INVALID),
    ("run-missing", RUN, SHOP | {"taskDefinition": "x:1"}, "ClientException"),
    ("run-11", RUN, SHOP | {"taskDefinition": "web", "count": 11}, INVALID),
    ("run-elsewhere", RUN, {"cluster": "x", "taskDefinition": "web"}, NO_CLUSTER),
    ("update-missing-service", SET_SERVICE, SHOP | {"service": "x", "desiredCount": 1}, "ServiceNotFoundException"),
    ("update-elsewhere", SET_SERVICE, {"cluster": "x", "service": "web"}, NO_CLUSTER),
    ("protect-unknown-instance", PROTECT_INSTANCE, scale_in_protection(UNKNOWN), VALIDATION),
    ("protect-in-unknown-group", PROTECT_INSTANCE, scale_in_protection(UNKNOWN, group="x"), VALIDATION),
    ("protect-51-instances", PROTECT_INSTANCE, scale_in_protection(*[UNKNOWN] * 51), VALIDATION),
    ("put-hook-unknown-topic", PUT_HOOK, hook(RoleARN=ROLE, NotificationTargetARN=TOPIC + "-x"), VALIDATION),
    ("caller", "sts.get_caller_identity", {}, None),
    ("publish-bad-topic", "sns.publish", {"TopicArn": "x", "Message": "x"}, INVALID),
]
# Where moto is wrong or does less. These cases must differ: one that agrees some day is to leave the table.
MOTO_IS_WRONG = {
    "ignores filters (API_ListContainerInstances, filter)": "list-filter list-bad-filter list-long-filter",
    "does not page (API_ListContainerInstances, maxResults, nextToken)": """list-page list-page-of-0 list-page-of-101
        list-bad-page""",
    "lists nothing (API_ListContainerInstances, status; ClusterNotFoundException)": """list-bad-status
        list-default-cluster list-elsewhere""",
    "says ClientException, AWS says InvalidParameterException (moto issue 2473)": "describe-none",
    "has no limit (API_DescribeContainerInstances: 100)": "describe-101",
    "has no limits (API_UpdateContainerInstancesState: 10)": "drain-none drain-11",
    "has no limits (API_PutAttributes, API_DeleteAttributes: 10)": "put-none put-11 delete-none delete-11",
    "has no limit (API_DescribeClusters: 100), says nothing of a missing default cluster": """clusters-101
        cluster-default""",
    "breaks (API_DescribeCapacityProviders, maxResults: 1 to 10)": "providers-page-of-11",
    "has no bounds (API_ListServices: 1 to 100; REPLICA or DAEMON)": "services-bad-strategy services-page-of-101",
    "lacks the operation (API_UpdateTaskProtection)": "protect-missing protect-11 protect-too-long",
    "has no bounds, or breaks (API_DescribeAutoScalingGroups: 50 names, MaxRecords 1 to 100)": """groups-51
        groups-page-of-101""",
    "takes no ARN with a type (API_Attribute, targetId: short form or full ARN)": "put-typed",
    "has no limit (API_DescribeTasks, API_DescribeServices: 100 and 10)": "tasks-101 services-11",
    "places no task of a service, and knows no services": "tasks tasks-unknown-service services",
    "lists nothing (API_ListTasks, desiredStatus)": "tasks-bad-status",
    "says nothing of missing tasks (API_DescribeTasks, failures)": "task-missing",
    "breaks (API_StopTask), or lacks the operation (API_GetTaskProtection)": """stop-missing protection-missing
        protection-101""",
    "has no limit (API_DescribeAutoScalingInstances: 50)": "instances-51",
    "breaks (API_TerminateInstanceInAutoScalingGroup)": "terminate-unknown terminate-half",
    "asks no cluster, and takes a value without a name (API_ListAttributes)": """attributes-elsewhere
        attributes-value-only""",
    "forgets that a full ARN says its type (API_Attribute, targetType)": "attributes",
    "looks for the task definition first (API_RunTask, count: 10)": "run-11",
    "breaks, or has no bounds (API_SetInstanceProtection: 50 of the group)": """protect-unknown-instance
        protect-in-unknown-group protect-51-instances""",
    "publishes no test notification (API_PutLifecycleHook)": "put-hook-unknown-topic",
    "makes members up (API_LifecycleHook), forgets what a later call does not name": "hooks hooks-changed",
    "has no bounds (API_PutLifecycleHook: 30 to 7,200 s, CONTINUE or ABANDON)": """put-hook-heartbeat-29
        put-hook-heartbeat-7201 put-hook-bad-result put-hook-no-transition put-hook-unknown-group""",
    "lacks the operations (API_CompleteLifecycleAction, API_RecordLifecycleActionHeartbeat)": """complete-unknown
        complete-bad-result heartbeat-unknown""",
    "has no bounds (User Guide, asg-capacity-limits), breaks for an unknown group": """above-maximum below-minimum
        raise-unknown-group""",
}
# Members that are not compared, or that we may lack: the operation, members, names of things in lists.
NOT_COMPARED = {
    "each world has machines of its own": """*.CPU.integerValue *.MEMORY.integerValue *.versionInfo.*
        *.attributes.ecs.*.value *.Instances.AvailabilityZone""",
    "each has a user of its own": "*.get_caller_identity.UserId *.get_caller_identity.Arn",
    "no task runs in moto's world": "*.runningTasksCount *.activeServicesCount",
    "only if they are asked for (API_DescribeClusters, include)": "*.describe_clusters.clusters.settings",
    "moto's lacks the name of the cluster (API_Failure, arn)": "*.failures.arn",
    "moto's are empty (API_ContainerInstance, attributes)": "*.update_*.containerInstances.attributes",
    "optional (API_AutoScalingGroup, API_Instance), and Ebb does not read it": """*.LaunchTemplate *.InstanceType
        *.CapacityRebalance *.EnabledMetrics *.LoadBalancerNames *.NewInstancesProtectedFromScaleIn *.Tags
        *.ServiceLinkedRoleARN *.SuspendedProcesses *.TargetGroupARNs *.TerminationPolicies *.VPCZoneIdentifier""",
}


def client(service, url, attempts=1, **config):
    config = Config(retries={"total_max_attempts": attempts}, proxies={}, **config)
    return SESSION.client(service, endpoint_url=url, config=config)


def outcome(call, **arguments):
    """The answer, or the error's exception class: one that AWS did not model is a ClientError with a code."""
    try:
        return call(**arguments)
    except ClientError as error:
        name = type(error).__name__
        return f"ClientError: {error.response['Error']['Code']}" if name == "ClientError" else name
    except ResponseParserError as error:
        return type(error).__name__


def ask_all(make_client, topic):
    """What comes of each case, by its name."""
    clients = {service: make_client(service, parameter_validation=False) for service in SERVICES}
    arns = clients["ecs"].list_container_instances(cluster="shop")["containerInstanceArns"]
    known = {"topic": topic} | {str(number): arn for number, arn in enumerate(arns)}
    outcomes = {}
    for name, operation, arguments, _ in CASES:
        service, method = operation.split(".")
        arguments = json.loads(re.sub(r"@(\w+)", lambda found: known[found[1]], json.dumps(arguments)))
        outcomes[name] = outcome(getattr(clients[service], method), **arguments)
    return outcomes


class Region:
    """A server of its own. Its world all but stands still, so that nothing happens between two calls."""

    def __init__(self, *options):
        command = [os.environ["EBB_REGION"], "serve", "--without-hooks", "--port", "0", "--lambda", "1"]
        command += ["--speed", "0.001", *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        self.url = line.rpartition(" ")[2].strip()
        if not self.url.startswith("http://127.0.0.1:"):
            self.stop()
            raise RuntimeError(f"the server did not say where it listens: {line!r}")
        self.operations, self.misfits = set(), []

    def stop(self):
        self.process.terminate()
        self.process.communicate()

    def client(self, service, **config):
        made = client(service, self.url, **config)
        made.meta.events.register("before-parse", self.look_at)
        return made

    def look_at(self, operation_model, response_dict, **_):
        """Compares an answer with the service model, before botocore reads it."""
        status, headers, body = (response_dict[name] for name in ["status_code", "headers", "body"])
        if status == 200:
            self.operations.add(operation_model.name)
        self.misfits += answer_misfits(operation_model, status, headers, body)

    def control(self, path, body=None, **headers):
        """The status and the text of a control path's answer. What is not bytes is sent as JSON."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        try:
            with OPENER.open(urllib.request.Request(self.url + path, data, headers)) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def plan(self, operation, fault, calls=1):
        assert self.control("/_ebb/faults", dict(operation=operation, fault=fault, calls=calls))[0] == 200


def files(path):
    return sorted(path.rglob("*.rs")) if path.is_dir() else [path]


def setUpModule():
    if not os.environ.get("EBB_REGION"):
        raise RuntimeError("set EBB_REGION to the path of the built server, ebb-region")


class RegionTest(unittest.TestCase):
    OPTIONS = ()

    def setUp(self):
        self.region = Region(*self.OPTIONS)
        self.addCleanup(self.region.stop)
        self.ecs, self.autoscaling, self.sns, self.sts = map(self.region.client, SERVICES)

    def tearDown(self):
        self.assertEqual(self.region.misfits, [], "the service model does not agree")

    def list(self, **arguments):
        return self.ecs.list_container_instances(cluster="shop", **arguments)["containerInstanceArns"]

    def one(self, instance_id=FIRST):
        return self.list(filter=f"ec2InstanceId == {instance_id}")[0]

    def describe(self, arn):
        return self.ecs.describe_container_instances(**ids(arn))["containerInstances"][0]

    def custom_attributes(self, arn):
        described = {each["name"]: each.get("value") for each in self.describe(arn)["attributes"]}
        return {name: value for name, value in described.items() if not name.startswith(("ecs.", "com.amazonaws."))}

    def set_status(self, *arns, status="DRAINING"):
        return self.ecs.update_container_instances_state(**ids(*arns, status=status))

    def group(self):
        return self.autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[GROUP])["AutoScalingGroups"][0]

    def publish(self, **arguments):
        self.sns.create_topic(Name=TOPIC.split(":")[-1])
        return self.sns.publish(**{"TopicArn": TOPIC, "Message": "A message"} | arguments)


class Answers(RegionTest):
    def test_calls_end_as_the_api_reference_says(self):
        self.sns.create_topic(Name=TOPIC.split(":")[-1])
        found = ask_all(self.region.client, TOPIC)
        for name, _, arguments, expected in CASES:
            with self.subTest(name, arguments=arguments):
                self.assertEqual(found[name] if isinstance(found[name], str) else None, expected)
        self.assertEqual((self.list(status="DRAINING"), self.group()["DesiredCapacity"]), ([], 6))

    def test_calls_that_boto3_would_not_send_or_that_are_not_simulated_are_refused_too(self):
        ecs, autoscaling, *_ = (self.region.client(service, parameter_validation=False) for service in SERVICES)
        self.assertEqual(outcome(ecs.list_container_instances, cluster=5), "ClientError: SerializationException")
        self.assertEqual(outcome(ecs.update_container_instances_state, **ids("x")), INVALID)
        self.assertEqual(outcome(ecs.put_attributes, **SHOP, attributes=[{"name": "x"}]), INVALID)
        self.assertEqual(outcome(ecs.list_account_settings), "ClientError: UnknownOperationException")
        self.assertEqual(outcome(autoscaling.set_desired_capacity, **capacity("x")), VALIDATION)
        self.assertEqual(outcome(autoscaling.describe_policies), "ClientError: InvalidAction")

    def test_the_tag_of_a_group_is_put_replaced_and_removed(self):
        """Neither operation has a result, and a tag that is not there is removed without a word."""
        tag = {"ResourceId": GROUP, "ResourceType": "auto-scaling-group", "Key": "ebb:fallback"}

        def tags():
            return {found["Key"]: found["Value"] for found in self.group()["Tags"]}

        before = tags()
        for value in ("6", "6 whole 1 2025-03-04T05:06:07Z"):
            self.autoscaling.create_or_update_tags(Tags=[tag | {"Value": value, "PropagateAtLaunch": False}])
            self.assertEqual(tags(), before | {"ebb:fallback": value})
        self.autoscaling.delete_tags(Tags=[tag | {"Value": "another"}])
        self.assertIn("ebb:fallback", tags())
        for _ in range(2):
            self.autoscaling.delete_tags(Tags=[tag])
            self.assertEqual(tags(), before)
        for wrong in ({"ResourceId": "another"}, {"Key": "aws:x"}, {"Key": "x" * 129}, {"Value": "x" * 257}):
            self.assertEqual(outcome(self.autoscaling.create_or_update_tags, Tags=[tag | wrong]), VALIDATION)

    def test_every_operation_answers_with_members_that_the_service_model_knows(self):
        self.ecs.list_clusters()
        self.ecs.put_attributes(**attributes(self.one(), "ebb"))
        self.set_status(self.one(), "missing")
        self.ecs.describe_container_instances(**ids(self.one(), "missing"))
        self.autoscaling.set_desired_capacity(**capacity(7))
        self.group()
        self.publish()
        self.autoscaling.put_lifecycle_hook(**hook(RoleARN=ROLE, NotificationTargetARN=TOPIC))
        self.autoscaling.describe_lifecycle_hooks(AutoScalingGroupName=GROUP)
        self.autoscaling.terminate_instance_in_auto_scaling_group(**termination(FIRST))
        self.autoscaling.describe_auto_scaling_instances()
        self.autoscaling.record_lifecycle_action_heartbeat(**action(InstanceId=FIRST))
        self.autoscaling.complete_lifecycle_action(**action(InstanceId=FIRST, LifecycleActionResult="CONTINUE"))
        tasks = self.ecs.list_tasks(**SHOP)["taskArns"]
        self.ecs.stop_task(**SHOP, task=tasks[0])
        self.ecs.describe_tasks(**SHOP, tasks=tasks + ["missing"])
        self.ecs.get_task_protection(**SHOP, tasks=tasks + ["missing"])
        self.ecs.describe_services(**SHOP, services=["web", "logs", "missing"])
        self.ecs.list_services(**SHOP)
        self.ecs.describe_clusters(clusters=["shop", "missing"], include=["STATISTICS"])
        self.ecs.describe_capacity_providers()
        self.ecs.describe_task_definition(taskDefinition="web")
        self.ecs.update_task_protection(**SHOP, tasks=tasks[:10], protectionEnabled=True)
        self.ecs.delete_attributes(**names(self.one(), "ebb"))
        self.ecs.list_attributes(**SHOP, **INSTANCE_TYPE)
        self.ecs.list_task_definitions()
        self.ecs.run_task(**SHOP, taskDefinition="web")
        self.ecs.update_service(**SHOP, service="web", desiredCount=13)
        self.autoscaling.set_instance_protection(**scale_in_protection(SECOND))
        self.sts.get_caller_identity()
        cluster = "arn:aws:ecs:eu-west-1:111122223333:cluster/shop"
        self.ecs.tag_resource(resourceArn=cluster, tags=[{"key": "team", "value": "a"}])
        self.ecs.list_tags_for_resource(resourceArn=cluster)
        self.ecs.untag_resource(resourceArn=cluster, tagKeys=["team"])
        tag = dict(ResourceId=GROUP, ResourceType="auto-scaling-group", Key="team", Value="a", PropagateAtLaunch=True)
        self.autoscaling.create_or_update_tags(Tags=[tag])
        self.autoscaling.delete_tags(Tags=[tag])
        self.autoscaling.describe_instance_refreshes(AutoScalingGroupName=GROUP)
        launch = dict(AutoScalingGroupName=GROUP, RequestedCapacity=1, ClientToken="t")
        self.autoscaling.launch_instances(**launch, AvailabilityZones=["eu-west-1b"])
        ec2 = self.region.client("ec2")
        by = lambda name, *values: {"Filters": [{"Name": name, "Values": values}]}
        ec2.describe_instances(**by("instance-lifecycle", "spot"))
        ec2.describe_instance_status(**by("event.code", "instance-retirement"))
        ec2.describe_instance_types(**by("instance-type", "m7g.xlarge"))
        template = self.group()["LaunchTemplate"]["LaunchTemplateId"]
        ec2.describe_launch_templates(LaunchTemplateIds=[template])
        ec2.describe_spot_price_history(**by("instance-type", "m7g.large"), StartTime=datetime.datetime.now())
        ec2.describe_subnets(**by("subnet-id", "subnet-0123456789abcdef0"))
        price = {"Type": "TERM_MATCH", "Field": "instanceType", "Value": "m7g.large"}
        self.region.client("pricing").get_products(ServiceCode="AmazonEC2", Filters=[price])
        # No package of a function is deployed here.
        configuration = self.region.client("lambda").get_function_configuration
        self.assertEqual(outcome(configuration, FunctionName="spot-drainer"), "ResourceNotFoundException")
        ec2.describe_instance_attribute(InstanceId=FIRST, Attribute="userData")
        self.region.client("elbv2").describe_target_groups()
        arc = self.region.client("arc-zonal-shift")
        shift = dict(resourceIdentifier=arc.list_managed_resources()["items"][0]["arn"], comment="power")
        arc.start_zonal_shift(**shift, awayFrom="euw1-az1", expiresIn="1h")
        queue = dict(QueueUrl=f"{self.region.url}/111122223333/none", MessageBody="again")
        self.assertEqual(outcome(self.region.client("sqs").send_message, **queue), "QueueDoesNotExist")
        table = (ROOT / "docs" / "try-it.md").read_text().partition("| service | operations |")[2].partition("\n\n")[0]
        # boto3 asks for metrics in CBOR, which has a test of its own; and here is no queue that could answer.
        asked = self.region.operations | {"GetMetricData", "SendMessage"}
        self.assertEqual(asked, set(re.findall(r"`([A-Z]\w+)`", table)))
        self.assertEqual(self.region.misfits, [])
        shape = self.ecs.meta.service_model.operation_model("ListClusters").output_shape
        wrong = {"clusterArns": [1], "more": 1, "nextToken": None}
        self.assertEqual(len(misfits(wrong, shape, "")), 3, "the comparison sees nothing")

    def test_there_is_one_cluster_which_can_be_named_by_its_arn(self):
        (arn,) = self.ecs.list_clusters()["clusterArns"]
        self.assertEqual(arn, "arn:aws:ecs:eu-west-1:111122223333:cluster/shop")
        self.assertEqual(self.ecs.list_container_instances(cluster=arn)["containerInstanceArns"], self.list())

    def test_a_filter_finds_container_instances_by_their_ec2_instances(self):
        first, second = self.one(FIRST), self.one(SECOND)
        self.assertRegex(first, "^arn:aws:ecs:eu-west-1:111122223333:container-instance/shop/[0-9a-f]{32}$")
        for expression in [f"ec2InstanceId == {FIRST}", f"ec2InstanceId=={FIRST}", f"ec2InstanceId in ['{FIRST}']"]:
            self.assertEqual(self.list(filter=expression), [first], expression)
        for expression in [f"ec2InstanceId in ['{FIRST}','{SECOND}']", f"ec2InstanceId in [{FIRST}, {SECOND}]"]:
            self.assertEqual(set(self.list(filter=expression)), {first, second}, expression)

    def test_a_compound_filter_is_understood(self):
        """ECS Developer Guide, cluster-query-language: `and`, `or`, `&&`, `||` join expressions."""
        for one, other in [(f"== {FIRST}", f"== {SECOND}"), (f"in ['{FIRST}']", f"in ['{SECOND}']")]:
            with self.subTest(one):
                self.assertEqual(len(self.list(filter=f"ec2InstanceId {one} or ec2InstanceId {other}")), 2)
        both = "attribute:ecs.instance-type =~ m7g.* and not (attribute:ecs.availability-zone != eu-west-1a)"
        self.assertEqual((len(self.list(filter=both)), self.list(filter="runningTasksCount == 0")), (4, []))

    def test_a_status_selects_and_the_default_is_every_one(self):
        self.set_status(self.one())
        self.assertEqual(self.list(status="DRAINING"), [self.one()])
        self.assertEqual((len(self.list(status="ACTIVE")), len(self.list())), (11, 12))

    def test_the_paginator_finds_everything(self):
        pages = self.ecs.get_paginator("list_container_instances").paginate(cluster="shop", maxResults=5)
        pages = [page["containerInstanceArns"] for page in pages]
        self.assertEqual(([len(page) for page in pages], sum(pages, [])), ([5, 5, 2], self.list()))

    def test_a_container_instance_is_described_with_resources_whose_unused_numbers_are_0(self):
        one = self.describe(self.one())
        self.assertEqual((one["ec2InstanceId"], one["status"], one["agentConnected"]), (FIRST, "ACTIVE", True))
        self.assertEqual(one["registeredAt"].utcoffset(), datetime.timedelta(0))
        self.assertIn({"name": "ecs.availability-zone", "value": "eu-west-1a"}, one["attributes"])
        for kind in ["registeredResources", "remainingResources"]:
            resources = {resource["name"]: resource for resource in one[kind]}
            self.assertEqual(set(resources), {"CPU", "MEMORY", "PORTS", "PORTS_UDP"})
            in_use = [set(resources[name]["stringSetValue"]) for name in ["PORTS", "PORTS_UDP"]]
            self.assertEqual(in_use, [{"22", "2375", "2376", "51678", "51679"}, set()])
            for resource in resources.values():
                self.assertEqual((resource["longValue"], resource["doubleValue"]), (0, 0.0))
                self.assertIs(resource["integerValue"] == 0, resource["type"] == "STRINGSET")

    def test_a_missing_container_instance_is_a_failure_within_http_200(self):
        known = self.one()
        missing = known[:-8] + "00000000"
        both = ids(missing, known)
        for answer in [self.ecs.describe_container_instances(**both), self.set_status(missing, known)]:
            self.assertEqual([one["containerInstanceArn"] for one in answer["containerInstances"]], [known])
            self.assertEqual(answer["failures"], [{"arn": missing, "reason": "MISSING"}])
        self.assertEqual(self.list(status="DRAINING"), [known])

    def test_draining_can_be_repeated_and_reversed(self):
        arns = self.list()[:10]
        for status in ["DRAINING", "DRAINING", "ACTIVE", "ACTIVE"]:
            answer = self.set_status(*arns, status=status)
            self.assertEqual([one["status"] for one in answer["containerInstances"]], [status] * 10)
            self.assertEqual((answer["failures"], self.describe(arns[0])["status"]), ([], status))

    def test_groups_are_described_all_or_by_name(self):
        groups = self.autoscaling.describe_auto_scaling_groups()["AutoScalingGroups"]
        self.assertEqual([one["AutoScalingGroupName"] for one in groups], [GROUP, "shop-spot"])
        group = self.group()
        self.assertEqual((group["MinSize"], group["DesiredCapacity"], group["MaxSize"]), (2, 6, 10))
        self.assertIsInstance(group["CreatedTime"], datetime.datetime)

    def test_a_raised_capacity_launches_instances_and_can_be_set_again(self):
        for _ in range(2):
            self.autoscaling.set_desired_capacity(**capacity(8), HonorCooldown=False)
            states = [one["LifecycleState"] for one in self.group()["Instances"]]
            self.assertEqual(states, ["InService"] * 6 + ["Pending"] * 2)
            self.assertEqual(self.group()["DesiredCapacity"], 8)

    def test_a_token_launches_once(self):
        launch = dict(AutoScalingGroupName=GROUP, RequestedCapacity=1, ClientToken="t", AvailabilityZones=["eu-west-1b"])
        launched = self.autoscaling.launch_instances(**launch)
        (pool,) = launched["Instances"]
        self.assertEqual((pool["AvailabilityZone"], len(pool["InstanceIds"]), launched["Errors"]), ("eu-west-1b", 1, []))
        more = launch | {"RequestedCapacity": 2}
        self.assertEqual(outcome(self.autoscaling.launch_instances, **more), "IdempotentParameterMismatchError")
        nowhere = launch | {"ClientToken": "u", "AvailabilityZones": ["eu-west-1z"]}
        self.assertEqual(outcome(self.autoscaling.launch_instances, **nowhere), VALIDATION)
        self.assertEqual(self.group()["DesiredCapacity"], 7)

    def test_ec2_describes_instances_by_their_reservation_and_refuses_other_filters(self):
        ec2 = self.region.client("ec2")
        by = lambda name: outcome(ec2.describe_instances, Filters=[{"Name": name, "Values": ["cr-0a"]}])
        self.assertEqual(by("capacity-reservation-id")["Reservations"], [])
        self.assertEqual(by("vpc"), "ClientError: InvalidParameterValue")

    def test_prices_are_known_to_ec2_and_to_the_price_list(self):
        ec2 = self.region.client("ec2")
        by_type = [{"Name": "instance-type", "Values": ["m7g.large", "z99.large"]}]
        history = outcome(ec2.describe_spot_price_history, Filters=by_type, StartTime=datetime.datetime.now(), MaxResults=5)
        prices = [(one["InstanceType"], one["AvailabilityZone"], one["SpotPrice"]) for one in history["SpotPriceHistory"]]
        self.assertEqual(prices[0], ("m7g.large", "eu-west-1a", "0.031200"))
        self.assertEqual(len(prices), 3)
        spot = [{"Name": "instance-lifecycle", "Values": ["spot"]}]
        self.assertEqual(outcome(ec2.describe_instances, Filters=spot)["Reservations"], [])

        get_products = self.region.client("pricing").get_products
        by = lambda **fields: outcome(get_products, ServiceCode="AmazonEC2", Filters=[
            {"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in fields.items()])["PriceList"]
        (product,) = map(json.loads, by(instanceType="m7g.large", regionCode="eu-west-1"))
        self.assertEqual(product["product"]["attributes"]["operatingSystem"], "Linux")
        self.assertEqual(by(instanceType="m7g.large", regionCode="us-east-1"), [])

    def test_traffic_of_a_group_is_shifted_away_from_a_zone(self):
        """API_ListManagedResources, API_StartZonalShift."""
        arc = self.region.client("arc-zonal-shift")
        page = arc.list_managed_resources(maxResults=1)
        self.assertEqual(len(arc.list_managed_resources(nextToken=page["nextToken"])["items"]), 1, "two groups")
        (group,) = [one for one in arc.list_managed_resources()["items"] if one["name"] == GROUP]
        self.assertEqual((group["appliedWeights"]["euw1-az1"], group["zonalShifts"]), (1.0, []))
        start = functools.partial(outcome, arc.start_zonal_shift, resourceIdentifier=group["arn"], comment="power")
        started = start(awayFrom="euw1-az1", expiresIn="2h")
        self.assertEqual(started["expiryTime"] - started["startTime"], datetime.timedelta(hours=2))
        (group,) = [one for one in arc.list_managed_resources()["items"] if one["name"] == GROUP]
        (shift,) = group["zonalShifts"]
        self.assertEqual((shift["zonalShiftId"], shift["appliedStatus"]), (started["zonalShiftId"], "APPLIED"))
        self.assertEqual(group["appliedWeights"], {"euw1-az1": 0.0, "euw1-az2": 1.0, "euw1-az3": 1.0})
        self.assertEqual(start(awayFrom="euw1-az2", expiresIn="2h"), "ConflictException")
        self.assertEqual(start(awayFrom="euw1-az9", expiresIn="2h"), "ValidationException")
        self.assertEqual(start(awayFrom="euw1-az2", expiresIn="73h"), "ValidationException")
        unknown = start(resourceIdentifier="arn:aws:unknown", awayFrom="euw1-az2", expiresIn="2h")
        self.assertEqual(unknown, "ResourceNotFoundException")
        self.assertEqual(outcome(arc.list_managed_resources, nextToken="x"), "ValidationException")
        targets = self.region.client("elbv2").describe_target_groups(PageSize=400)
        self.assertEqual(targets["TargetGroups"], [])

    def test_metrics_are_asked_for_and_answered_in_json(self):
        """boto3 asks CloudWatch in CBOR. botocore knows the service's other protocol as well, which Ebb speaks."""
        operation = SESSION._session.get_service_model("cloudwatch").operation_model("GetMetricData")
        dimensions = [{"Name": "function", "Value": "spot-drainer"}]
        metric = {"Namespace": "Ebb", "MetricName": "Draining", "Dimensions": dimensions}
        query = {"Id": "m0", "MetricStat": {"Metric": metric, "Period": 3600, "Stat": "Sum"}}
        end = datetime.datetime(2025, 3, 3, 8, tzinfo=datetime.timezone.utc)
        asked = dict(MetricDataQueries=[query], StartTime=end - datetime.timedelta(days=7), EndTime=end)
        request = create_serializer("json").serialize_to_request(asked, operation)
        with OPENER.open(urllib.request.Request(self.region.url, request["body"], request["headers"])) as answer:
            self.assertEqual(answer.headers["content-type"], request["headers"]["Content-Type"])
            answer = {"body": answer.read(), "headers": answer.headers, "status_code": answer.status}
        (result,) = create_parser("json").parse(answer, operation.output_shape)["MetricDataResults"]
        self.assertEqual(result, {"Id": "m0", "Label": "m0", "StatusCode": "Complete", "Timestamps": [], "Values": []})

    def test_the_attributes_of_a_cluster_are_listed_by_name_and_value(self):
        self.ecs.put_attributes(**attributes(self.one(), "ebb.keep", value="me"))
        by = functools.partial(self.ecs.list_attributes, **SHOP, **INSTANCE_TYPE)
        kept = [{"name": "ebb.keep", "value": "me", "targetId": self.one()}]
        self.assertEqual(by(attributeName="ebb.keep")["attributes"], kept)
        self.assertEqual(by(attributeName="ebb.keep", attributeValue="you")["attributes"], [])
        zone = by(attributeName="ecs.availability-zone", attributeValue="eu-west-1a")["attributes"]
        self.assertEqual((len(zone), len(by()["attributes"])), (4, 100), "a page holds 100")

    def test_clusters_and_services_bear_tags_which_come_if_they_are_asked_for(self):
        """API_TagResource, API_DescribeClusters, include."""
        arn = "arn:aws:ecs:eu-west-1:111122223333:"
        hold, keep = {"key": "ebb:hold-until", "value": "2026-01-31T06:00:00+01:00"}, {"key": "ebb:keep-tasks", "value": ""}
        for kind, tag, describe in [
            ("cluster/shop", hold, lambda **more: self.ecs.describe_clusters(clusters=["shop"], **more)["clusters"]),
            ("service/shop/web", keep, lambda **more: self.ecs.describe_services(**SHOP, services=["web"], **more)["services"]),
        ]:
            with self.subTest(kind):
                self.ecs.tag_resource(resourceArn=arn + kind, tags=[tag, {"key": "team", "value": "a"}])
                self.ecs.untag_resource(resourceArn=arn + kind, tagKeys=["team", "never-put"])
                self.assertEqual(describe()[0]["tags"], [])
                self.assertEqual(describe(include=["TAGS"])[0]["tags"], [tag])
                self.assertEqual(self.ecs.list_tags_for_resource(resourceArn=arn + kind)["tags"], [tag])
        put = lambda kind, *tags: outcome(self.ecs.tag_resource, resourceArn=arn + kind, tags=list(tags))
        self.assertEqual(put("cluster/x", hold), NO_CLUSTER)
        self.assertEqual(put("service/shop/x", hold), "ResourceNotFoundException")
        unknown = outcome(self.ecs.list_tags_for_resource, resourceArn=arn + "service/shop/x")
        self.assertEqual(unknown, INVALID)
        self.assertEqual(put("cluster/shop", {"key": "aws:x", "value": ""}), INVALID)
        self.assertEqual(put("cluster/shop", *({"key": str(number), "value": ""} for number in range(50))), INVALID)

    def test_groups_bear_tags(self):
        tag = dict(ResourceId=GROUP, ResourceType="auto-scaling-group", PropagateAtLaunch=True)
        described = lambda: {one["Key"]: one["Value"] for one in self.group()["Tags"]}
        before = described()
        self.autoscaling.create_or_update_tags(Tags=[tag | {"Key": "ebb:hold-until", "Value": "forever"}])
        self.assertEqual(described(), before | {"ebb:hold-until": "forever"})
        self.autoscaling.delete_tags(Tags=[tag | {"Key": "ebb:hold-until", "Value": "other"}])
        self.assertEqual(described(), before | {"ebb:hold-until": "forever"}, "another value")
        self.autoscaling.delete_tags(Tags=[tag | {"Key": "ebb:hold-until"}])
        self.assertEqual(described(), before)
        unknown = tag | {"ResourceId": "x", "Key": "k", "Value": "v"}
        self.assertEqual(outcome(self.autoscaling.create_or_update_tags, Tags=[unknown]), VALIDATION)

    def test_a_standalone_task_runs_where_it_is_told_to_beside_the_services(self):
        arns = self.ecs.list_task_definitions(familyPrefix="web")["taskDefinitionArns"]
        self.assertEqual(arns, ["arn:aws:ecs:eu-west-1:111122223333:task-definition/web:1"])
        on_first = [{"type": "memberOf", "expression": f"ec2InstanceId == {FIRST}"}]
        run = functools.partial(self.ecs.run_task, **SHOP, taskDefinition=arns[0], placementConstraints=on_first)
        (task,) = run()["tasks"]
        self.assertEqual((task["containerInstanceArn"], task["group"]), (self.one(), "family:web"))
        crowded = run(count=10)
        reasons = {failure["reason"] for failure in crowded["failures"]}
        self.assertEqual(reasons, {"RESOURCE:CPU", "MemberOf placement constraint unsatisfied."})
        self.assertLess(len(crowded["tasks"]), 10)

    def test_a_service_is_resized_and_its_percentages_never_block_it(self):
        def update(**more):
            return outcome(self.ecs.update_service, **SHOP, service="web", **more)

        both = {"minimumHealthyPercent": 100, "maximumPercent": 100}
        self.assertEqual(update(deploymentConfiguration=both), INVALID)
        self.assertEqual(update(forceNewDeployment=True), INVALID)
        service = update(desiredCount=3, deploymentConfiguration={"minimumHealthyPercent": 50})["service"]
        self.assertEqual(service["desiredCount"], 3)
        self.assertEqual(service["deploymentConfiguration"]["minimumHealthyPercent"], 50)
        self.assertEqual(service["deploymentConfiguration"]["maximumPercent"], 200)

    def test_a_protected_instance_is_described_as_such(self):
        self.autoscaling.set_instance_protection(**scale_in_protection(FIRST, SECOND))
        protected = [one["InstanceId"] for one in self.group()["Instances"] if one["ProtectedFromScaleIn"]]
        self.assertEqual(protected, [FIRST, SECOND])

    def test_the_caller_is_of_the_account_of_all_resources(self):
        self.assertEqual(self.sts.get_caller_identity()["Account"], "111122223333")

    def test_every_answer_has_a_request_id(self):
        """In the body of the query protocol, in the header x-amzn-RequestId of awsJson1.1."""
        for call in [self.autoscaling.describe_auto_scaling_groups, self.publish, self.ecs.list_clusters]:
            with self.subTest(call.__name__):
                self.assertIn("RequestId", call()["ResponseMetadata"])


class Attributes(RegionTest):
    def put(self, target, *names, **more):
        return outcome(self.ecs.put_attributes, **attributes(target, *names, **more))

    def test_a_written_attribute_is_described_and_can_be_overwritten(self):
        arn = self.one()
        for value in ["once", "2026-11-20T21:00:00Z", "aZ9-_.@/\\: x" + "x" * 116]:
            (written,) = self.put(arn, "ebb.state", value=value, targetType="container-instance")["attributes"]
            self.assertEqual((written["name"], written["value"], written["targetId"]), ("ebb.state", value, arn))
            self.assertEqual(self.custom_attributes(arn), {"ebb.state": value})

    def test_a_deleted_attribute_is_gone_and_the_others_stay(self):
        arn = self.one()
        self.put(arn, "ebb", "other")
        self.ecs.delete_attributes(**names(arn, "ebb", "never-put"))
        self.assertEqual(self.custom_attributes(arn), {"other": "1"})

    def test_when_one_target_is_not_found_nothing_is_written(self):
        arn = self.one()
        both = attributes(arn, "ebb")["attributes"] + attributes(arn[:-8] + "00000000", "ebb")["attributes"]
        self.assertEqual(outcome(self.ecs.put_attributes, **SHOP, attributes=both), "TargetNotFoundException")
        self.assertEqual(self.custom_attributes(arn), {})

    def test_the_eleventh_attribute_of_a_target_is_too_many(self):
        arn = self.one()
        self.put(arn, *"abcdefghij")
        self.assertEqual(self.put(arn, "k"), "AttributeLimitExceededException")
        self.put(arn, "j", value="overwritten")
        self.assertEqual(len(self.custom_attributes(arn)), 10)

    def test_the_attributes_of_one_call_count_together_against_the_limit_of_a_target(self):
        """API_PutAttributes, attributes: "up to 10 custom attributes for each resource"."""
        self.put(self.one(), *"abcdef")
        self.assertEqual(self.put(self.one(), *"uvwxyz"), "AttributeLimitExceededException")

    def test_a_value_that_ecs_does_not_take_is_refused(self):
        """API_Attribute, value: 1 to 128 letters, digits, spaces or any of -_.@/\\: with no space at either end."""
        for value in ["", "x" * 129, "a;b", '{"a":1}', " x", "x "]:
            with self.subTest(value[:9]):
                self.assertEqual(self.put(self.one(), "ebb", value=value), INVALID)

    def test_a_target_that_is_given_by_its_short_id_needs_a_type(self):
        """API_Attribute, targetType: "required if you use the short form ID for a resource"."""
        short = self.one().rpartition("/")[2]
        self.assertIn("attributes", self.put(short, "ebb", targetType="container-instance"))
        self.assertIsInstance(self.put(short, "ebb"), str, "no error")


class Termination(RegionTest):
    def put_hook(self, **more):
        self.autoscaling.put_lifecycle_hook(**hook(HeartbeatTimeout=300, DefaultResult="CONTINUE", **more))

    def terminate(self, instance_id=FIRST, decrement=True):
        call = self.autoscaling.terminate_instance_in_auto_scaling_group
        return call(**termination(instance_id, decrement))["Activity"]

    def state(self, instance_id=FIRST):
        (found,) = self.autoscaling.describe_auto_scaling_instances(InstanceIds=[instance_id])["AutoScalingInstances"]
        return found["LifecycleState"]

    def refusal(self, call, **arguments):
        with self.assertRaises(ClientError) as caught:
            call(**arguments)
        error = caught.exception.response
        self.assertEqual(error["ResponseMetadata"]["HTTPStatusCode"], 400)
        return error["Error"]["Code"], error["Error"]["Message"]

    def test_a_hook_has_the_defaults_of_aws_and_keeps_what_a_later_call_does_not_name(self):
        """API_PutLifecycleHook: 3,600 s and ABANDON by default; at most 48 hours or 100 heartbeat timeouts."""
        call = self.autoscaling.put_lifecycle_hook
        call(**hook())
        call(**action(NotificationMetadata="<a>"))
        (found,) = self.autoscaling.describe_lifecycle_hooks(AutoScalingGroupName=GROUP)["LifecycleHooks"]
        timeouts = dict(HeartbeatTimeout=3600, GlobalTimeout=172_800, DefaultResult="ABANDON")
        self.assertEqual(found, hook(NotificationMetadata="<a>", **timeouts))
        call(**action(HeartbeatTimeout=30))
        (found,) = self.autoscaling.describe_lifecycle_hooks(AutoScalingGroupName=GROUP)["LifecycleHooks"]
        self.assertEqual((found["GlobalTimeout"], found["NotificationMetadata"]), (3000, "<a>"))

    def test_a_notification_target_needs_a_role(self):
        found = outcome(self.autoscaling.put_lifecycle_hook, **hook(NotificationTargetARN=TOPIC))
        self.assertEqual(found, VALIDATION)

    def test_a_topic_that_does_not_exist_is_refused_with_a_known_sentence(self):
        """aws/aws-cdk issue 1212 quotes it."""
        target = hook(RoleARN=ROLE, NotificationTargetARN=TOPIC)
        code, message = self.refusal(self.autoscaling.put_lifecycle_hook, **target)
        start = f"Unable to publish test message to notification target {TOPIC} using IAM role {ROLE}."
        self.assertEqual((code, message[: len(start)]), ("ValidationError", start))
        self.assertEqual(self.autoscaling.describe_lifecycle_hooks(AutoScalingGroupName=GROUP)["LifecycleHooks"], [])
        self.sns.create_topic(Name=TOPIC.split(":")[-1])
        self.autoscaling.put_lifecycle_hook(**target)

    def test_a_terminated_instance_waits_until_its_hook_is_completed(self):
        self.put_hook()
        activity = self.terminate()
        self.assertEqual((activity["AutoScalingGroupName"], activity["StatusCode"]), (GROUP, "InProgress"))
        self.assertEqual((self.state(), self.group()["DesiredCapacity"]), ("Terminating:Wait", 5))
        self.autoscaling.record_lifecycle_action_heartbeat(**action(InstanceId=FIRST))
        self.autoscaling.complete_lifecycle_action(**action(InstanceId=FIRST, LifecycleActionResult="CONTINUE"))
        self.assertEqual(self.state(), "Terminating:Proceed")

    def test_an_action_that_is_over_is_a_validation_error_with_a_known_sentence(self):
        """convox/rack issue 2432 and spacelift's terraform-aws-spacelift-workerpool-on-ec2 issue 197."""
        self.put_hook()
        self.terminate()
        complete, heartbeat = (getattr(self.autoscaling, name.split(".")[1]) for name in [COMPLETE, HEARTBEAT])
        complete(**action(InstanceId=FIRST, LifecycleActionResult="CONTINUE"))
        token = "00000000-0000-4000-a000-000000000000"
        for key, value, which in [("InstanceId", FIRST, "instance ID"), ("LifecycleActionToken", token, "token")]:
            expected = "ValidationError", f"No active Lifecycle Action found with {which} {value}"
            arguments = action(**{key: value})
            self.assertEqual(self.refusal(complete, LifecycleActionResult="CONTINUE", **arguments), expected)
            self.assertEqual(self.refusal(heartbeat, **arguments), expected)

    def test_the_minimum_is_a_validation_error_with_a_known_sentence(self):
        """aws/aws-cli issue 47 and nomad-autoscaler issue 1290 quote it."""
        for number in range(1, 5):
            self.terminate(f"{FIRST[:-1]}{number}")
        call = self.autoscaling.terminate_instance_in_auto_scaling_group
        code, message = self.refusal(call, **termination(f"{FIRST[:-1]}5"))
        expected = "ValidationError", "Currently, desiredSize equals minSize (2)"
        self.assertEqual((code, message.partition(".")[0]), expected)
        self.assertEqual((self.state(f"{FIRST[:-1]}5"), self.group()["DesiredCapacity"]), ("InService", 2))

    def test_without_decrement_the_group_launches_another_instance(self):
        self.terminate(decrement=False)
        states = sorted(one["LifecycleState"] for one in self.group()["Instances"])
        self.assertEqual(states, ["InService"] * 5 + ["Pending", "Terminating"])

    def test_a_lowered_capacity_terminates_as_many(self):
        self.autoscaling.set_desired_capacity(**capacity(4))
        states = sorted(one["LifecycleState"] for one in self.group()["Instances"])
        self.assertEqual(states, ["InService"] * 4 + ["Terminating"] * 2)

    def test_instances_are_described_with_their_group_and_unknown_ones_left_out(self):
        describe = self.autoscaling.describe_auto_scaling_instances
        (found,) = describe(InstanceIds=[UNKNOWN, FIRST])["AutoScalingInstances"]
        zone = "eu-west-1a"
        expected = dict(InstanceId=FIRST, AutoScalingGroupName=GROUP, AvailabilityZone=zone, LifecycleState="InService")
        more = dict(HealthStatus="HEALTHY", ProtectedFromScaleIn=False, InstanceType="m7g.large")
        template = found.pop("LaunchTemplate")
        self.assertEqual((template["LaunchTemplateName"], template["Version"]), (GROUP, "1"))
        self.assertEqual(found, expected | more)
        pages = self.autoscaling.get_paginator("describe_auto_scaling_instances").paginate(MaxRecords=5)
        self.assertEqual([len(page["AutoScalingInstances"]) for page in pages], [5, 5, 2])
        pages = self.autoscaling.get_paginator("describe_auto_scaling_groups").paginate(MaxRecords=1)
        self.assertEqual([len(page["AutoScalingGroups"]) for page in pages], [1, 1])


class Tasks(RegionTest):
    def tasks(self, **arguments):
        return self.ecs.list_tasks(**SHOP, **arguments)["taskArns"]

    def test_tasks_are_listed_by_container_instance_and_service(self):
        self.assertEqual((len(self.tasks()), len(self.tasks(serviceName="web"))), (32, 12))
        self.assertEqual(self.tasks(desiredStatus="PENDING") + self.tasks(desiredStatus="STOPPED"), [])
        here = self.tasks(containerInstance=self.one())
        described = self.ecs.describe_tasks(**SHOP, tasks=here)["tasks"]
        self.assertEqual({one["containerInstanceArn"] for one in described}, {self.one()})
        self.assertEqual(len(here), self.describe(self.one())["runningTasksCount"])

    def test_the_paginator_finds_every_task(self):
        pages = self.ecs.get_paginator("list_tasks").paginate(cluster="shop", maxResults=20)
        self.assertEqual([len(page["taskArns"]) for page in pages], [20, 12])

    def test_a_task_of_a_service_says_so(self):
        (arn, *_) = self.tasks(serviceName="web")
        (task,) = self.ecs.describe_tasks(**SHOP, tasks=[arn])["tasks"]
        self.assertEqual((task["taskArn"], task["group"], task["launchType"]), (arn, "service:web", "EC2"))
        self.assertEqual((task["lastStatus"], task["desiredStatus"]), ("RUNNING", "RUNNING"))
        self.assertRegex(task["startedBy"], r"^ecs-svc/\d{19}$")
        self.assertIsInstance(task["createdAt"], datetime.datetime)

    def test_a_stopping_task_is_listed_as_stopped_although_it_still_runs(self):
        """The trap of ecs-cid-sample issue 29: neither runningTasksCount nor the default list counts it."""
        (arn, *_) = self.tasks(containerInstance=self.one())
        before = self.describe(self.one())["runningTasksCount"]
        task = self.ecs.stop_task(**SHOP, task=arn, reason="a test")["task"]
        self.assertEqual((task["lastStatus"], task["desiredStatus"]), ("RUNNING", "STOPPED"))
        self.assertEqual((self.tasks(desiredStatus="STOPPED"), arn in self.tasks()), ([arn], False))
        self.assertEqual(self.describe(self.one())["runningTasksCount"], before - 1)

    def test_services_are_described(self):
        answer = self.ecs.describe_services(**SHOP, services=["web", "logs", "missing"])
        web, logs = answer["services"]
        self.assertEqual((web["schedulingStrategy"], logs["schedulingStrategy"]), ("REPLICA", "DAEMON"))
        self.assertEqual((web["desiredCount"], web["runningCount"], logs["desiredCount"]), (12, 12, 12))
        configuration = {"minimumHealthyPercent": 100, "maximumPercent": 200, "strategy": "ROLLING"}
        self.assertEqual(web["deploymentConfiguration"], configuration)
        self.assertEqual([failure["reason"] for failure in answer["failures"]], ["MISSING"])

    def test_nothing_is_protected_by_itself(self):
        tasks = self.tasks(serviceName="web")
        answer = self.ecs.get_task_protection(**SHOP, tasks=tasks + ["missing"])
        self.assertEqual([one["protectionEnabled"] for one in answer["protectedTasks"]], [False] * 12)
        self.assertEqual([failure["reason"] for failure in answer["failures"]], ["MISSING"])


class Idle(RegionTest):
    """What the scale-in reaper reads, of a cluster that shows each shape."""

    OPTIONS = ("--idle",)
    GPU = "i-0a1b2c3d4e5f60012"

    def service(self, name):
        (found,) = self.ecs.describe_services(**SHOP, services=[name])["services"]
        return found

    def tasks_of(self, service):
        arns = self.ecs.list_tasks(**SHOP, serviceName=service)["taskArns"]
        return self.ecs.describe_tasks(**SHOP, tasks=arns)["tasks"]

    def definition(self, name):
        return self.ecs.describe_task_definition(taskDefinition=name)["taskDefinition"]

    def resources(self, arn, kind="remainingResources"):
        kinds = {"INTEGER": "integerValue", "STRINGSET": "stringSetValue"}
        return {one["name"]: one[kinds[one["type"]]] for one in self.describe(arn)[kind]}

    def test_ports_are_those_in_use_and_gpus_those_that_are_left(self):
        task = self.tasks_of("proxy")[0]
        here = task["containerInstanceArn"]
        self.assertEqual(set(self.resources(here)["PORTS"]), {"22", "2375", "2376", "51678", "51679", "8443"})
        self.assertEqual(len(self.resources(here, "registeredResources")["PORTS"]), 5)
        self.assertEqual(self.resources(here)["PORTS_UDP"], ["514"])
        bound = [(one["hostPort"], one["protocol"]) for one in task["containers"][0]["networkBindings"]]
        self.assertEqual(bound, [(8443, "tcp"), (32768, "tcp")], "the second is assigned and counts for nobody")
        registered = self.resources(self.one(self.GPU), "registeredResources")["GPU"]
        (render,) = self.tasks_of("render")
        self.assertEqual(render["containers"][0]["gpuIds"], registered)
        self.assertEqual((len(registered), self.resources(self.one(self.GPU))["GPU"]), (1, []))

    def test_a_container_instance_says_what_it_is(self):
        gpu, spare = self.describe(self.one(self.GPU)), self.describe(self.one())
        attributes = {one["name"]: one.get("value") for one in gpu["attributes"]}
        expected = dict(zip(["instance-type", "availability-zone", "cpu-architecture", "os-type"],
                            ["g4dn.xlarge", "eu-west-1c", "x86_64", "linux"]))
        self.assertEqual({name: attributes[f"ecs.{name}"] for name in expected}, expected)
        self.assertIsNone(attributes["ecs.capability.task-eni"])
        self.assertEqual((gpu["capacityProviderName"], spare.get("capacityProviderName")), ("shop-spot", None))
        version = gpu["version"]
        self.set_status(gpu["containerInstanceArn"])
        self.assertGreater(self.describe(gpu["containerInstanceArn"])["version"], version)

    def test_a_filter_may_ask_for_attributes_and_groups_of_tasks(self):
        for expression, number in [
            ("attribute:ecs.instance-type == m7g.xlarge", 5),
            ("attribute:ecs.instance-type =~ .*xlarge", 6),
            ("attribute:ecs.instance-type in [m7g.large, g4dn.xlarge]", 7),
            ("attribute:rack exists or attribute:rack !exists", 12),
            ("task:group == service:render and runningTasksCount > 1", 1),
        ]:
            self.assertEqual(len(self.list(filter=expression)), number, expression)

    def test_services_say_where_their_tasks_may_go(self):
        zones = {"type": "spread", "field": "attribute:ecs.availability-zone"}
        instances = {"type": "spread", "field": "instanceId"}
        for name, strategy in [
            ("web", [zones, instances]),
            ("proxy", [zones, {"type": "binpack", "field": "MEMORY"}]),
            ("worker", [{"type": "binpack", "field": "CPU"}]),
            ("mail", [{"type": "random"}]),
            ("search", []),
        ]:
            self.assertEqual(self.service(name)["placementStrategy"], strategy, name)
        member_of = {"type": "memberOf", "expression": "attribute:ecs.instance-type =~ .*xlarge"}
        self.assertEqual(self.service("search")["placementConstraints"], [{"type": "distinctInstance"}, member_of])
        web = self.service("web")
        (deployment,) = web["deployments"]
        self.assertEqual((deployment["status"], deployment["rolloutState"]), ("PRIMARY", "COMPLETED"))
        self.assertEqual(web["availabilityZoneRebalancing"], "DISABLED")
        self.assertEqual(web["deploymentController"], {"type": "ECS"})

    def test_services_are_listed_page_by_page_and_by_strategy(self):
        pages = self.ecs.get_paginator("list_services").paginate(cluster="shop", maxResults=5)
        self.assertEqual([len(page["serviceArns"]) for page in pages], [5, 2])
        (logs,) = self.ecs.list_services(**SHOP, schedulingStrategy="DAEMON")["serviceArns"]
        self.assertEqual(logs, "arn:aws:ecs:eu-west-1:111122223333:service/shop/logs")

    def test_tasks_and_their_definitions_agree_about_cpu_and_memory(self):
        for name, task_level, memory, reservation in [
            ("web", True, 512, None),
            ("worker", False, 1024, None),
            ("render", False, 1024, 512),
        ]:
            with self.subTest(name):
                task, definition = self.tasks_of(name)[0], self.definition(f"{name}:1")
                self.assertEqual(task["taskDefinitionArn"], definition["taskDefinitionArn"])
                self.assertEqual(("cpu" in task, "memory" in definition), (task_level, task_level))
                (container,), (defined,) = task["containers"], definition["containerDefinitions"]
                self.assertEqual((container["memory"], defined["memory"]), (str(memory), memory))
                self.assertEqual(defined.get("memoryReservation"), reservation)
                self.assertEqual(container.get("memoryReservation"), reservation and str(reservation))
        self.assertEqual(self.definition("render")["containerDefinitions"][0]["resourceRequirements"],
                         [{"type": "GPU", "value": "1"}])
        ports = [one["hostPort"] for one in self.definition("proxy")["containerDefinitions"][0]["portMappings"]]
        self.assertEqual(ports, [8443, 0])

    def test_a_task_with_a_network_interface_has_no_ports_of_its_instance(self):
        task = self.tasks_of("search")[0]
        (attachment,) = task["attachments"]
        details = {one["name"]: one["value"] for one in attachment["details"]}
        self.assertEqual((attachment["type"], attachment["status"]), ("ElasticNetworkInterface", "ATTACHED"))
        self.assertRegex(details["networkInterfaceId"], "^eni-[0-9a-f]{17}$")
        self.assertEqual(task["containers"][0]["networkBindings"], [])
        definition = self.definition("search")
        self.assertEqual(definition["networkMode"], "awsvpc")
        self.assertIn({"name": "ecs.capability.task-eni"}, definition["requiresAttributes"])

    def test_the_subnets_of_a_service_are_known_to_ec2_with_their_zones(self):
        (service,) = self.ecs.describe_services(**SHOP, services=["search"])["services"]
        ids = service["networkConfiguration"]["awsvpcConfiguration"]["subnets"]
        filters = [{"Name": "subnet-id", "Values": [*ids, "subnet-0123456789abcdef0"]}]
        subnets = self.region.client("ec2").describe_subnets(Filters=filters)["Subnets"]
        self.assertEqual([one["SubnetId"] for one in subnets], ids, "one that is gone is left out")
        self.assertEqual([one["AvailabilityZone"][-1] for one in subnets], ["a", "b", "c"])

    def test_instance_types_are_known_to_ec2_with_their_network_interfaces(self):
        filters = [{"Name": "instance-type", "Values": ["m7g.xlarge", "g4dn.xlarge", "none.large"]}]
        types = self.region.client("ec2").describe_instance_types(Filters=filters)["InstanceTypes"]
        network = {one["InstanceType"]: one["NetworkInfo"] for one in types}
        self.assertEqual({name: one["MaximumNetworkInterfaces"] for name, one in network.items()},
                         {"m7g.xlarge": 4, "g4dn.xlarge": 3})
        self.assertEqual([card["MaximumNetworkInterfaces"] for card in network["m7g.xlarge"]["NetworkCards"]], [4])

    def test_protection_can_be_set_taken_and_expires(self):
        arns = [task["taskArn"] for task in self.tasks_of("web")]
        call = functools.partial(self.ecs.update_task_protection, **SHOP)
        (protected,) = call(tasks=arns[:1], protectionEnabled=True, expiresInMinutes=10)["protectedTasks"]
        left = protected["expirationDate"] - datetime.datetime.now(datetime.timezone.utc)
        self.assertLess(abs(left - datetime.timedelta(minutes=10)), datetime.timedelta(minutes=1))
        states = self.ecs.get_task_protection(**SHOP, tasks=arns)["protectedTasks"]
        self.assertEqual([one["protectionEnabled"] for one in states].count(True), 1)
        self.assertFalse(call(tasks=arns[:1], protectionEnabled=False)["protectedTasks"][0]["protectionEnabled"])

    def test_the_cluster_counts_what_it_has_and_names_its_capacity_providers(self):
        (cluster,) = self.ecs.describe_clusters(clusters=["shop"], include=["STATISTICS"])["clusters"]
        self.set_status(self.one())
        counted = ["registeredContainerInstances", "runningTasks", "activeServices"]
        counts = [cluster[f"{name}Count"] for name in counted]
        self.assertEqual((counts, cluster["capacityProviders"]), ([12, 30, 7], ["shop-spot"]))
        self.assertIn({"name": "runningEC2TasksCount", "value": "30"}, cluster["statistics"])
        answer = self.ecs.describe_capacity_providers(capacityProviders=["shop-spot", "missing"])
        (provider,) = answer["capacityProviders"]
        of_group = provider["autoScalingGroupProvider"]
        self.assertRegex(of_group["autoScalingGroupArn"], "^arn:aws:autoscaling:.*:autoScalingGroupName/shop-spot$")
        self.assertEqual(of_group["managedScaling"]["status"], "DISABLED")
        self.assertEqual(of_group["managedTerminationProtection"], "DISABLED")
        self.assertEqual(of_group["managedDraining"], "DISABLED")
        self.assertEqual([one["reason"] for one in answer["failures"]], ["MISSING"])
        every = [one["name"] for one in self.ecs.describe_capacity_providers()["capacityProviders"]]
        self.assertEqual(every, ["FARGATE", "FARGATE_SPOT", "shop-spot"])

    def test_groups_are_described_with_what_a_reaper_must_know(self):
        group = self.group()
        self.assertEqual((group["MinSize"], group["DesiredCapacity"], group["MaxSize"]), (1, 6, 10))
        self.assertEqual(group["AvailabilityZones"], [f"eu-west-1{zone}" for zone in "abc"])
        self.assertEqual((group["SuspendedProcesses"], group["NewInstancesProtectedFromScaleIn"]), ([], False))
        first = group["Instances"][0]
        self.assertEqual((first["InstanceType"], first["HealthStatus"]), ("m7g.large", "Healthy"))
        self.assertEqual((first["ProtectedFromScaleIn"], first.get("WeightedCapacity")), (False, None))
        groups = self.autoscaling.describe_auto_scaling_groups(IncludeInstances=False)["AutoScalingGroups"]
        self.assertEqual([one["Instances"] for one in groups], [[], []])

    def test_the_errors_of_a_termination_have_the_classes_and_statuses_of_aws(self):
        call = functools.partial(self.autoscaling.terminate_instance_in_auto_scaling_group, **termination(FIRST))
        for fault, name, status in [
            ("resource-contention", "ResourceContentionFault", 500),
            ("scaling-activity-in-progress", "ScalingActivityInProgressFault", 400),
        ]:
            self.region.plan("TerminateInstanceInAutoScalingGroup", fault)
            with self.assertRaises(ClientError) as caught:
                call()
            answered = caught.exception.response["ResponseMetadata"]["HTTPStatusCode"]
            self.assertEqual((type(caught.exception).__name__, answered), (name, status))
        call()
        self.assertEqual(outcome(call), "ScalingActivityInProgressFault", "it terminates already")


class Publish(RegionTest):
    def test_any_text_is_taken_and_each_message_has_an_id_of_its_own(self):
        texts = ["a", "<a> & </b>\n\"'", "🚰 läuft", "a=b&c=%20+", "x" * 262_144]
        message_ids = {self.publish(Message=text, Subject="s" * 99)["MessageId"] for text in texts}
        self.assertEqual(len(message_ids), len(texts))
        self.assertRegex(message_ids.pop(), "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")

    def test_a_subject_that_is_too_long_or_has_a_line_break_is_refused(self):
        """API_Publish, Subject: no line breaks, fewer than 100 characters (AWS takes 100: moto issue 1503)."""
        for subject in ["s" * 101, "two\nlines"]:
            with self.subTest(subject[:9]):
                self.assertEqual(outcome(self.publish, Subject=subject), INVALID)

    def test_a_topic_that_does_not_exist_is_refused(self):
        """API_Publish: NotFound, HTTP 404. API_CreateTopic: one that is there is answered as it is."""
        unknown = TOPIC.replace("notices", "unknown")
        self.assertEqual(outcome(self.publish, TopicArn=unknown), "NotFoundException")
        for _ in range(2):
            self.assertEqual(self.sns.create_topic(Name="unknown")["TopicArn"], unknown)
        self.assertIn("MessageId", self.publish(TopicArn=unknown))

    def test_a_message_that_is_too_long_is_refused(self):
        """API_Publish, Message: at most 262,144 bytes by default, else InvalidParameter."""
        self.assertEqual(outcome(self.publish, Message="x" * 262_145), INVALID)


class Faults(RegionTest):
    def test_a_planned_error_has_the_code_and_the_status_of_aws_and_the_call_does_nothing(self):
        """Denied: Auto Scaling as in hashicorp/nomad-autoscaler issue 952, SNS by API_Publish, AuthorizationError."""
        calls = {"ListClusters": self.ecs.list_clusters, "Publish": self.publish}
        calls["SetDesiredCapacity"] = lambda: self.autoscaling.set_desired_capacity(**capacity(7))
        for fault, operation, code, status in [
            ("throttle", "ListClusters", "ThrottlingException", 400),
            ("throttle", "SetDesiredCapacity", "Throttling", 400),
            ("server-error", "ListClusters", "ServerException", 500),
            ("server-error", "SetDesiredCapacity", "InternalFailure", 500),
            ("denied", "ListClusters", "AccessDeniedException", 400),
            ("denied", "SetDesiredCapacity", "AccessDenied", 403),
            ("denied", "Publish", "AuthorizationError", 403),
        ]:
            self.region.plan(operation, fault)
            with self.subTest(fault, operation=operation):
                with self.assertRaises(ClientError) as caught:
                    calls[operation]()
                error = caught.exception.response
                found = error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"]
                self.assertEqual(found, (code, status))
        self.assertEqual(self.group()["DesiredCapacity"], 6)

    def test_the_errors_that_aws_modelled_raise_their_exceptions(self):
        for fault, expected in [("server-error", "ServerException"), ("denied", "AccessDeniedException")]:
            self.region.plan("ListClusters", fault)
            self.assertEqual(outcome(self.ecs.list_clusters), expected)

    def test_boto3_mends_a_single_throttle(self):
        self.region.plan("ListClusters", "throttle")
        answer = self.region.client("ecs", attempts=3).list_clusters()
        self.assertEqual((answer["ResponseMetadata"]["RetryAttempts"], len(answer["clusterArns"])), (1, 1))

    def test_when_the_connection_breaks_nothing_is_done_and_when_the_answer_is_lost_it_is(self):
        for fault, status in [("connection-reset", "ACTIVE"), ("answer-lost", "DRAINING")]:
            self.region.plan("UpdateContainerInstancesState", fault)
            with self.assertRaises(ConnectionClosedError):
                self.set_status(self.one())
            self.assertEqual(self.describe(self.one())["status"], status)

    def test_a_call_that_is_never_answered_times_out(self):
        self.region.plan("ListClusters", "timeout")
        with self.assertRaises(ReadTimeoutError):
            self.region.client("ecs", read_timeout=1).list_clusters()
        self.ecs.list_clusters()

    def test_what_is_no_answer_comes_with_success_all_the_same(self):
        for fault, start in [
            ("empty-answer", b""),
            ("empty-object", b"{}"),
            ("html-page", b"<html>"),
            ("null-list", b'{"clusterArns":null}'),
            ("truncated-answer", b'{"clusterArns":["arn'),
            ("endless-answer", b'{"clusterArns":["arn:aws:ecs:'),
        ]:
            self.region.plan("ListClusters", fault)
            target = {"X-Amz-Target": "AmazonEC2ContainerServiceV20141113.ListClusters"}
            request = urllib.request.Request(self.region.url + "/", b"{}", target)
            # No answer of AWS comes near 20 MiB.
            with self.subTest(fault), OPENER.open(request) as answer:
                body = answer.read(20 * 1024 * 1024)
                self.assertEqual((answer.status, body[: len(start)]), (200, start))
                self.assertEqual(len(body) == 20 * 1024 * 1024, fault == "endless-answer")

    def test_a_filter_is_ignored_as_often_as_planned(self):
        self.region.plan("ListContainerInstances", "filter-ignored", calls=2)
        self.assertEqual([len(self.list(filter=f"ec2InstanceId == {FIRST}")) for _ in range(3)], [12, 12, 1])

    def test_after_an_empty_page_the_paginator_still_finds_everything(self):
        self.region.plan("ListContainerInstances", "empty-page")
        pages = self.ecs.get_paginator("list_container_instances").paginate(cluster="shop")
        pages = [page["containerInstanceArns"] for page in pages]
        self.assertEqual((pages[0], sum(pages, [])), ([], self.list()))

    def test_after_a_burst_of_100_reads_of_a_cluster_only_its_reads_are_throttled(self):
        arn = self.one()
        for call in range(2, 401):
            found = outcome(self.list)
            if isinstance(found, str):
                break
        self.assertEqual((found, call), ("ClientError: ThrottlingException", 101))
        self.assertEqual(outcome(self.describe, arn=arn), "ClientError: ThrottlingException")
        self.set_status(arn)


class Control(RegionTest):
    def refuses(self, path, *bodies, status=400):
        for body in bodies:
            with self.subTest(path=path, body=body):
                answered, text = self.region.control(path, body)
                self.assertEqual(answered, status)
                self.assertRegex(text, r"^\w+( [\w,;`-]+)+\n$")

    def test_the_world_is_shown(self):
        self.set_status(self.one())
        world = json.loads(self.region.control("/_ebb/world")[1])
        shown = {one["instance_id"]: one for one in world["container_instances"]}
        self.assertEqual((len(shown), shown[FIRST]["status"], shown[SECOND]["status"]), (12, "DRAINING", "ACTIVE"))
        self.assertIn({"name": GROUP, "desired_capacity": 6, "max_size": 10}, world["groups"])
        operations = [call["operation"] for call in world["calls"]]
        self.assertEqual(operations, ["ListContainerInstances", "UpdateContainerInstancesState"])

    def test_bad_requests_are_refused_with_a_sentence(self):
        fault, interruption = {"operation": "ListClusters", "fault": "throttle"}, {"instance_id": FIRST}
        self.refuses("/_ebb/faults", b"{", [], {}, fault | {"operation": 1}, fault | {"fault": "x"})
        self.refuses("/_ebb/interrupt", b"", {}, {"instance_id": 1}, interruption | {"action": "x"})
        self.refuses("/", b"", b"hello", {}, b"Version=2011-01-01")
        self.refuses("/none", None, {}, status=404)
        self.assertEqual(self.region.control("/_ebb/interrupt", interruption)[0], 200)

    def control(self, control, **body):
        self.assertEqual(self.region.control(f"/_ebb/{control}", body), (200, "done\n"))

    def world(self):
        return json.loads(self.region.control("/_ebb/world")[1])

    def shown(self, instance_id=FIRST):
        (found,) = [one for one in self.world()["container_instances"] if one["instance_id"] == instance_id]
        return found

    def test_an_instance_is_scaled_in_protected_and_loses_its_agent(self):
        self.control("protection", instance_id=FIRST, protected=True)
        self.control("agent", instance_id=FIRST, connected=False)
        self.assertEqual([self.shown()[key] for key in ["protected_from_scale_in", "agent_connected"]], [True, False])
        self.assertFalse(self.describe(self.one())["agentConnected"])
        self.control("protection", instance_id=FIRST, protected=False)
        self.control("agent", instance_id=FIRST, connected=True)
        self.assertEqual([self.shown()[key] for key in ["protected_from_scale_in", "agent_connected"]], [False, True])
        self.control("scale-in", instance_id=FIRST)
        self.assertEqual((self.shown()["lifecycle_state"], self.group()["DesiredCapacity"]), ("Terminating", 5))
        self.refuses("/_ebb/protection", {}, {"instance_id": FIRST}, {"instance_id": SECOND, "protected": "yes"})
        self.refuses("/_ebb/agent", {"instance_id": SECOND, "connected": 1}, {"connected": True})
        self.assertEqual(self.region.control("/_ebb/scale-in", {"instance_id": FIRST})[0], 400)

    def test_a_standalone_task_runs_on_the_instance_unless_that_takes_none(self):
        self.control("task", instance_id=FIRST)
        self.control("task", instance_id=FIRST, name="import")
        standalone = [name for name in self.shown()["tasks"] if name.split()[0] in ("report", "import")]
        self.assertEqual(standalone, ["report PROVISIONING", "import PROVISIONING"])
        self.set_status(self.one(SECOND))
        first = {"instance_id": FIRST}
        self.refuses("/_ebb/task", {"instance_id": SECOND}, *[first | {"name": name} for name in [1, "", "a b", "<b>", "web"]])
        self.refuses("/_ebb/task", first | {"name": "a" * 256})

    def test_a_stuck_service_has_no_room_for_a_replacement_and_no_task_to_spare(self):
        for service, desired in [("web", 12), ("worker", 8)]:
            self.control("service", cluster="shop", service=service, stuck=True)
            (found,) = self.ecs.describe_services(**SHOP, services=[service])["services"]
            percentages = found["deploymentConfiguration"]
            self.assertEqual(percentages["minimumHealthyPercent"], 100)
            self.assertEqual(desired * percentages["maximumPercent"] // 100, desired)
            self.control("service", cluster="shop", service=service, stuck=False)
        (found,) = self.ecs.describe_services(**SHOP, services=["web"])["services"]
        self.assertEqual(found["deploymentConfiguration"]["maximumPercent"], 200)
        web = {"cluster": "shop", "service": "web"}
        self.refuses("/_ebb/service", {}, web, web | {"cluster": "x", "stuck": True}, web | {"stuck": 1})
        self.refuses("/_ebb/service", web | {"service": "logs", "stuck": True})
        self.ecs.update_service(**web, desiredCount=100)
        self.refuses("/_ebb/service", web | {"stuck": True})

    def test_a_second_cluster_has_a_group_and_services_of_its_own(self):
        self.control("cluster")
        self.assertEqual(len(self.ecs.list_clusters()["clusterArns"]), 2)
        depot = self.ecs.describe_clusters(clusters=["depot"])["clusters"][0]
        counts = [depot[f"{name}Count"] for name in ["registeredContainerInstances", "runningTasks", "activeServices"]]
        self.assertEqual(counts, [4, 9, 2])
        groups = [one["name"] for one in self.world()["groups"]]
        self.assertEqual(groups, ["depot-instances", GROUP, "shop-spot"])
        self.refuses("/_ebb/cluster", {})

    def test_what_happens_is_shown_line_by_line(self):
        after = lambda number: json.loads(self.region.control(f"/_ebb/events?after={number}")[1])
        self.assertEqual(after(0), {"lines": [], "next": 0})
        self.control("interrupt", instance_id=FIRST)
        self.region.plan("ListClusters", "throttle")
        outcome(self.ecs.list_clusters)
        notice, refused = after(0)["lines"]
        self.assertIn(FIRST, notice)
        self.assertRegex(refused, "ListClusters is refused: ThrottlingException$")
        self.assertEqual(after(1), {"lines": [refused], "next": 2})
        self.assertEqual(after(9), {"lines": [], "next": 2})
        self.refuses("/_ebb/events?after=x", None)

    def test_a_page_of_another_site_changes_nothing(self):
        own = [self.region.url, self.region.url.replace("127.0.0.1", "localhost")]
        for origin in ["http://example.com", "null", own[0] + "0", own[0].replace("http:", "https:")]:
            self.assertEqual(self.region.control("/_ebb/cluster", {}, Origin=origin)[0], 403, origin)
            self.assertEqual(self.region.control("/", b"Action=CreateTopic&Name=x", Origin=origin)[0], 403, origin)
        self.assertEqual(len(self.ecs.list_clusters()["clusterArns"]), 1)
        for origin in own:
            fault = dict(operation="ListClusters", fault="throttle")
            self.assertEqual(self.region.control("/_ebb/faults", fault, Origin=origin)[0], 200, origin)

    def test_a_sweep_runs_the_reaper_and_says_if_it_cannot(self):
        self.control("sweep")
        deadline = time.monotonic() + 10
        lines = []
        while not lines and time.monotonic() < deadline:
            lines = json.loads(self.region.control("/_ebb/events")[1])["lines"]
        self.assertRegex(lines[0], "function scale-in-reaper failed: 127.0.0.1:1: ")

    def test_the_page_asks_for_nothing_elsewhere_and_knows_only_controls_and_faults_that_there_are(self):
        status, page = self.region.control("/")
        self.assertEqual((status, re.findall(r"(?:src|href)=\"(?!data:)|https?://", page)), (200, []))
        controls = set(re.findall(r'control\("([\w-]+)"|data-control="([\w-]+)"', page))
        for name in {first or second for first, second in controls}:
            self.assertNotEqual(self.region.control(f"/_ebb/{name}", {"instance_id": ""})[0], 404, name)
        faults = re.findall("<option>(.*)</option>", page)
        self.assertGreater(len(faults), 5)
        for fault in faults:
            self.region.plan("None", fault)

    def test_a_member_of_the_wrong_type_is_refused_and_not_taken_for_its_default(self):
        fault = {"operation": "ListClusters", "fault": "throttle"}
        self.refuses("/_ebb/faults", *[fault | {"calls": calls} for calls in [2**32, -1, "two"]])
        self.refuses("/_ebb/interrupt", {"instance_id": FIRST, "action": 5})


class Documents(RegionTest):
    def test_the_page_for_people_names_every_operation_control_and_fault_and_no_others(self):
        text = (ROOT / "docs" / "try-it.md").read_text()
        sources = [ROOT / "crates/region/src" / name for name in ["wire", "control.rs", "fault.rs"]]
        wire, control, fault = ("".join(map(pathlib.Path.read_text, files(source))) for source in sources)
        table = text[text.index("| service | operations |") :]
        # Longer than any code of an error or word of a status that is matched like an operation.
        operations = set(re.findall(r'^ *(?:\| )?"([A-Z][a-z]+[A-Z]\w+)"(?: \||$| =>)', wire, re.MULTILINE))
        verbs = "List|Describe|Update|Put|Delete|Run|Stop|Get|Launch|Set|Terminate|Complete|Record|Create|Publish|Send|Start|Tag|Untag"
        operations = {name for name in operations | {"Publish"} if re.match(verbs, name)}
        self.assertEqual(set(re.findall(r"`([A-Z]\w+)`", table.partition("\n\n")[0])), operations)
        controls = set(re.findall(r'^ *"([a-z-]+)" => \w+\(world', control, re.MULTILINE))
        self.assertEqual(set(re.findall(r"^\| `/_ebb/([\w-]+)`", text, re.MULTILINE)), controls)
        (row,) = [line for line in text.splitlines() if line.startswith("| `/_ebb/faults`")]
        faults = set(re.findall(r'^ *"([a-z-]+)" => Some\(Fault', fault, re.MULTILINE))
        self.assertEqual(set(re.findall("`([a-z-]+)`", row)), faults)
        self.assertTrue(min(len(operations), len(controls), len(faults)) > 8, "nothing was compared")


class SameAsMoto(unittest.TestCase):
    def test_both_answer_alike_save_where_moto_is_wrong(self):
        logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
        server, region = ThreadedMotoServer("127.0.0.1", 0, verbose=False), Region()
        self.addCleanup(region.stop)
        server.start()
        self.addCleanup(server.stop)
        url = "http://{}:{}".format(*server.get_host_and_port())
        make_client = functools.partial(client, url=url)
        region.client("sns").create_topic(Name=TOPIC.split(":")[-1])
        ours, theirs = ask_all(region.client, TOPIC), ask_all(make_client, build_in_moto(url))
        wrong = {name: reason for reason, names in MOTO_IS_WRONG.items() for name in names.split()}
        self.assertLessEqual(set(wrong), set(ours), "MOTO_IS_WRONG names a case that is none")
        for name, operation, _, _ in CASES:
            with self.subTest(name):
                found = differences(normal(ours[name]), normal(theirs[name]), operation)
                if name in wrong:
                    self.assertNotEqual(found, [], f"moto agrees now; it was said that it {wrong[name]}")
                else:
                    self.assertEqual(found, [])


def build_in_moto(url):
    """Builds the world of our server's scenario in moto's; returns the topic."""
    ecs, autoscaling, sns, _ = (client(service, url) for service in SERVICES)
    ecs.create_cluster(clusterName="shop")
    ec2 = SESSION.resource("ec2", endpoint_url=url, config=Config(proxies={}))
    image = next(one.id for one in ec2.images.all() if one.platform != "windows")
    for instance in ec2.create_instances(ImageId=image, MinCount=12, MaxCount=12):
        document = json.dumps(generate_instance_identity_document(instance))
        ecs.register_container_instance(cluster="shop", instanceIdentityDocument=document)
    template = {"ImageId": image, "InstanceType": "t3.micro"}
    ec2.meta.client.create_launch_template(LaunchTemplateName="shop", LaunchTemplateData=template)
    group = dict(MinSize=2, MaxSize=10, DesiredCapacity=6, LaunchTemplate={"LaunchTemplateName": "shop"})
    group["VPCZoneIdentifier"] = ",".join(subnet.id for subnet in ec2.subnets.all())
    for name in [GROUP, "shop-spot"]:
        autoscaling.create_auto_scaling_group(AutoScalingGroupName=name, **group)
    return sns.create_topic(Name="notices")["TopicArn"]


def normal(value):
    """An answer without what is different each time. Lists of named things become maps."""
    if isinstance(value, dict):
        return {key: normal(item) for key, item in value.items() if key != "ResponseMetadata"}
    if isinstance(value, list) and value and all(isinstance(item, dict) and "name" in item for item in value):
        return {item["name"]: normal(item) for item in value}
    if isinstance(value, list):
        return sorted(map(normal, value), key=str)
    if isinstance(value, str):
        value = re.sub(r"\b[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}\b|\bi-[0-9a-f]{17}\b", "ID", value)
        return re.sub(r"\b\d{12}\b", "ACCOUNT", value)
    return "TIME" if isinstance(value, datetime.datetime) else value


def differences(ours, theirs, path):
    """Where our answer lacks a member of moto's, or has another type or value."""
    if any(fnmatch.fnmatchcase(path, pattern) for pattern in " ".join(NOT_COMPARED.values()).split()):
        return []
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return [found for key in theirs for found in differences(ours.get(key), theirs[key], f"{path}.{key}")]
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        return [found for pair in zip(ours, theirs) for found in differences(*pair, path)]
    return [] if ours == theirs else [f"{path}: ours {ours!r}, moto's {theirs!r}"]


if __name__ == "__main__":
    unittest.main()
