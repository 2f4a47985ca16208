"""What AWS refuses or tells although a simulation could do without, as botocore's clients see it."""

import datetime
import json
import unittest
import urllib.error
import urllib.request

from test_region import (
    FIRST, GROUP, INVALID, OPENER, SHOP, VALIDATION, RegionTest, attributes, capacity, hook, ids, outcome,
    setUpModule, termination,
)

ARN = "arn:aws:ecs:eu-west-1:111122223333:"


class Refusals(RegionTest):
    def test_a_name_is_not_taken_from_an_arn_of_another_kind(self):
        for call, arguments in [
            (self.ecs.describe_clusters, {"clusters": [ARN + "service/shop"]}),
            (self.ecs.describe_clusters, {"clusters": [ARN.replace("eu-west-1", "eu-west-2") + "cluster/shop"]}),
            (self.ecs.list_tasks, {"cluster": ARN + "service/shop"}),
            (self.ecs.describe_capacity_providers, {"capacityProviders": [ARN + "cluster/shop-spot"]}),
        ]:
            with self.subTest(arguments):
                self.assertEqual(outcome(call, **arguments), INVALID)
        wrong = ARN + "service/web"
        self.assertEqual(outcome(self.ecs.describe_task_definition, taskDefinition=wrong), "ClientException")

    def test_what_is_named_and_missing_is_told_as_it_was_named(self):
        missing = ARN + "container-instance/shop/0a1b"
        failures = self.ecs.describe_container_instances(**ids(missing, "x/y"))["failures"]
        self.assertEqual([each["arn"] for each in failures], [missing, ARN + "container-instance/shop/x/y"])

    def test_more_is_described_only_as_far_as_it_is_simulated(self):
        self.ecs.describe_container_instances(**ids(self.one()), include=["TAGS"])
        for call, arguments in [
            (self.ecs.describe_container_instances, ids(self.one(), include=["CONTAINER_INSTANCE_HEALTH"])),
            (self.ecs.describe_clusters, {"include": ["SETTINGS"]}),
            (self.ecs.describe_services, SHOP | {"services": ["web"], "include": ["STATISTICS"]}),
        ]:
            self.assertEqual(outcome(call, **arguments), INVALID)

    def test_a_name_that_ecs_does_not_take_for_an_attribute_is_refused(self):
        """API_Attribute, name: 1 to 128 letters, digits or any of -_/\\."""
        for name in ["", "a b", "é", "a:b", "x" * 129, "ecs.instance-type"]:
            with self.subTest(name):
                self.assertEqual(outcome(self.ecs.put_attributes, **attributes(self.one(), name)), INVALID)
        self.ecs.put_attributes(**attributes(self.one(), "Az9-_/\\."))

    def test_a_filter_takes_the_operators_and_the_values_of_its_subject(self):
        """ECS Developer Guide, cluster-query-language."""
        for expression, number in [
            ("registeredAt > 2018-06-18", 12),
            ("registeredAt less_than_equal 2018-06-18T22:28:28+00:00", 0),
            ("agentVersion >= 1.9.0", 12),
            ("agentConnected in [true]", 12),
        ]:
            self.assertEqual(len(self.list(filter=expression)), number, expression)
        for expression in [
            "registeredAt > yesterday", "registeredAt in [2018-06-18]", "runningTasksCount > few",
            "agentConnected == yes", "agentVersion =~ 1.*", "task:group > x",
        ]:
            with self.subTest(expression):
                self.assertEqual(outcome(self.list, filter=expression), INVALID)

    def test_a_token_goes_on_with_the_list_that_it_is_of(self):
        token = self.ecs.list_container_instances(**SHOP, maxResults=5)["nextToken"]
        self.assertEqual(len(self.list(nextToken=token)), 7)
        for call, more in [(self.ecs.list_container_instances, {"status": "ACTIVE"}), (self.ecs.list_tasks, {})]:
            self.assertEqual(outcome(call, **SHOP, nextToken=token, **more), INVALID)

    def test_a_hook_has_a_name_that_auto_scaling_takes(self):
        for name in ["two words", "a.b", "x" * 256]:
            found = outcome(self.autoscaling.put_lifecycle_hook, **hook(LifecycleHookName=name))
            self.assertEqual(found, VALIDATION)

    def test_a_tag_says_whether_it_is_for_the_instances_too(self):
        tag = {"ResourceId": GROUP, "ResourceType": "auto-scaling-group", "Key": "team", "Value": "a"}
        for propagates in (False, True):
            self.autoscaling.create_or_update_tags(Tags=[tag | {"PropagateAtLaunch": propagates}])
            (found,) = [each for each in self.group()["Tags"] if each["Key"] == "team"]
            self.assertIs(found["PropagateAtLaunch"], propagates)

    def test_a_message_that_is_empty_is_not_published(self):
        """SNS says `Invalid parameter: Empty message`."""
        self.assertEqual(outcome(self.publish, Message=""), INVALID)

    def test_the_protection_of_tasks_is_asked_of_a_named_cluster(self):
        ecs = self.region.client("ecs", parameter_validation=False)
        self.assertEqual(outcome(ecs.get_task_protection, tasks=["x"]), INVALID)

    def test_a_body_that_is_no_object_is_refused(self):
        target = {"X-Amz-Target": "AmazonEC2ContainerServiceV20141113.ListClusters"}
        for body in [b"[]", b"null", b"5", b'"x"', b""]:
            with self.subTest(body), self.assertRaises(urllib.error.HTTPError) as caught:
                OPENER.open(urllib.request.Request(self.region.url + "/", body, target))
            with caught.exception as answer:
                found = answer.code, json.load(answer)["__type"]
            self.assertEqual(found, (400, "SerializationException"))

    def test_a_cooldown_is_not_promised(self):
        found = outcome(self.autoscaling.set_desired_capacity, **capacity(7), HonorCooldown=True)
        self.assertEqual((found, self.group()["DesiredCapacity"]), (VALIDATION, 6))

    def test_a_filter_that_is_not_looked_at_is_refused(self):
        ec2, pricing = self.region.client("ec2"), self.region.client("pricing")
        spot = {"Name": "instance-lifecycle", "Values": ["spot"]}
        for filters in [
            [spot, spot],
            [{"Name": "instance-lifecycle", "Values": ["sp*"]}],
            [{"Name": "instance-id", "Values": [FIRST]}, spot],
        ]:
            with self.subTest(filters):
                self.assertEqual(outcome(ec2.describe_instances, Filters=filters), "ClientError: InvalidParameterValue")
        for wrong in [{"Field": "colour"}, {"Type": "CONTAINS"}]:
            price = {"Type": "TERM_MATCH", "Field": "instanceType", "Value": "m7g.large"} | wrong
            found = outcome(pricing.get_products, ServiceCode="AmazonEC2", Filters=[price])
            self.assertEqual(found, "InvalidParameterException", wrong)


class Reasons(RegionTest):
    def test_a_stopped_task_says_who_stopped_it_and_with_what_words(self):
        first, second, *_ = self.ecs.list_tasks(**SHOP, containerInstance=self.one())["taskArns"]
        for task, more, reason in [(first, {"reason": "a test"}, "a test"), (second, {}, "Task stopped by user")]:
            stopped = self.ecs.stop_task(**SHOP, task=task, **more)["task"]
            self.assertEqual((stopped["stopCode"], stopped["stoppedReason"]), ("UserInitiated", reason))
            self.assertIsInstance(stopped["stoppingAt"], datetime.datetime)

    def test_a_termination_says_from_and_to_what_the_capacity_shrinks(self):
        call = self.autoscaling.terminate_instance_in_auto_scaling_group
        start = r"^At \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ instance i-\w+ was taken out of service in response to a user request"
        activity = call(**termination(FIRST))["Activity"]
        self.assertRegex(activity["Cause"], start + r", shrinking the capacity from 6 to 5\.$")
        self.assertEqual(json.loads(activity["Details"])["Availability Zone"], "eu-west-1a")
        (second, *_) = [each["InstanceId"] for each in self.group()["Instances"] if each["InstanceId"] != FIRST]
        self.assertRegex(call(**termination(second, decrement=False))["Activity"]["Cause"], start + r"\.$")


if __name__ == "__main__":
    unittest.main()
