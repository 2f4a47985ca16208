"""Holds requests to the service models of AWS: the members that the simulated Region takes, and what Ebb sends.

What Ebb sends is kept by its own tests, which call the Region in process, in the file that EBB_REQUESTS names.
"""

import datetime
import json
import os
import re
import unittest

from botocore.exceptions import ClientError

from shapes import answer_misfits, form_name, request_misfits
from test_region import ROOT, SESSION, Region, setUpModule

SERVICES = ["ecs", "autoscaling", "ec2", "elbv2", "sns", "sqs", "sts", "pricing", "cloudwatch"]
MODELS = {name: SESSION.client(name).meta.service_model for name in SERVICES}
# boto3 asks it in CBOR. Ebb and the Region speak JSON, which the model has as well.
MODELS["cloudwatch"].resolved_protocol = "json"
# What these ask is in their path.
ASKED_BY_PATH = ["GetFunctionConfiguration", "ListManagedResources"]


def members_taken():
    """The members that the Region takes, by operation, as its table has them."""
    table = (ROOT / "crates/region/src/wire/members.rs").read_text()
    table = table[table.index("fn members(") : table.index("_ => return None")]
    arms = re.findall(r'((?:"\w+"(?: \| )?)+) =>\s*\{?\s*&\[((?:\s*(?://[^\n]*|"[^"]*",?))*)\s*\]', table)
    return {
        operation: re.findall('"([^"]+)"', re.sub("//[^\n]*", "", members))
        for operations, members in arms
        for operation in re.findall(r"\w+", operations)
    }


def model_of(operation):
    return next(model for model in MODELS.values() if operation in model.operation_names)


def inputs(shape, protocol, taken, path=""):
    """An input with one member alone for each that the model has, and the path of that member.

    A member that the Region takes nothing of is looked at as a whole.
    """
    if shape.type_name == "list":
        path += ".member[]" if protocol == "query" else "[]"
        return [(at, [value]) for at, value in inputs(shape.member, protocol, taken, path)]
    if shape.type_name != "structure" or path and not any(each.startswith(f"{path}.") for each in taken):
        return [(path, sample(shape))]
    return [
        (at, {name: value})
        for name, member in shape.members.items()
        for at, value in inputs(member, protocol, taken, f"{path}.{form_name(name, member, protocol)}".lstrip("."))
    ]


def sample(shape):
    if shape.type_name == "structure":
        name = next(iter(shape.required_members or shape.members))
        return {name: sample(shape.members[name])}
    if shape.type_name == "list":
        return [sample(shape.member)]
    if shape.type_name == "map":
        return {"x": sample(shape.value)}
    return dict(string="x", boolean=True, timestamp=datetime.datetime.now(), blob=b"x").get(shape.type_name, 1)


class Taken(unittest.TestCase):
    def test_every_member_that_the_region_takes_is_one_that_the_service_model_has(self):
        taken = members_taken()
        self.assertGreater(len(taken), 40, "nothing was compared")
        for operation, members in taken.items():
            model = model_of(operation)
            shape = model.operation_model(operation).input_shape
            known = [at for at, _ in inputs(shape, model.resolved_protocol, members)] if shape else []
            self.assertEqual(set(members) - set(known), set(), operation)

    def test_every_other_member_is_refused_by_its_name(self):
        region = Region()
        self.addCleanup(region.stop)
        clients = {name: region.client(name, parameter_validation=False) for name in SERVICES}
        refused = 0
        for operation, members in members_taken().items():
            model = model_of(operation)
            shape = model.operation_model(operation).input_shape
            for path, value in inputs(shape, model.resolved_protocol, members) if shape else []:
                if path in members or model is MODELS["cloudwatch"]:
                    continue
                with self.subTest(operation, path=path):
                    with self.assertRaises(ClientError) as caught:
                        clients[model.service_name]._make_api_call(operation, value)
                    message = caught.exception.response["Error"]["Message"]
                    self.assertIn(f"The simulated Region knows no {path}", message)
                    refused += 1
        self.assertGreater(refused, 80, "nothing was asked")
        self.assertEqual(region.misfits, [])


class Comparison(unittest.TestCase):
    """What the comparisons of the other tests find, that none passes because it sees nothing."""

    def test_an_answer_that_its_model_does_not_have_is_found(self):
        def found(operation, body, status=200):
            model = model_of(operation).operation_model(operation)
            return len(answer_misfits(model, status, {}, body.encode()))

        for operation, body, misfits in [
            ("ListTasks", '{"taskArns": []}', 0),
            ("ListTasks", '{"taskArns": [1], "more": 1, "nextToken": null}', 3),
            ("DescribeTasks", '{"tasks": [{"stopCode": "Bored", "createdAt": "now", "version": "1"}]}', 3),
            ("SetDesiredCapacity", "<SetDesiredCapacityResponse/>", 1),
            ("SetDesiredCapacity", "<SetDesiredCapacityResult/>", 2),
            ("Publish", "<PublishResponse><ResponseMetadata><RequestId/></ResponseMetadata></PublishResponse>", 1),
            ("DescribeSubnets", "<DescribeSubnetsResponse><requestId/><subnets/></DescribeSubnetsResponse>", 1),
        ]:
            self.assertEqual(found(operation, body), misfits, body)
        for body, status, misfits in [
            ('{"__type": "ClusterNotFoundException", "message": ""}', 400, 0),
            ('{"__type": "ClusterNotFoundException", "message": ""}', 404, 1),
            ('{"__type": "ClusterNotFoundException"}', 400, 1),
            ('{"__type": "ResourceNotFoundException", "message": ""}', 400, 1),
        ]:
            self.assertEqual(found("ListTasks", body, status), misfits, body)

    def test_a_request_that_its_model_does_not_have_is_found(self):
        group, list_ = "AutoScalingGroupName=a", "InstanceIds.member.1=i-1"
        for operation, body, is_known in [
            ("UpdateContainerInstancesState", '{"containerInstances": ["a"], "status": "DRAINING"}', True),
            ("UpdateContainerInstancesState", '{"containerInstances": ["a"], "status": "GONE"}', False),
            ("UpdateContainerInstancesState", '{"status": "DRAINING"}', False),
            ("UpdateContainerInstancesState", '{"containerInstances": "a", "status": "DRAINING"}', False),
            ("SetInstanceProtection", f"Version=2011-01-01&{group}&{list_}&ProtectedFromScaleIn=true", True),
            ("SetInstanceProtection", f"Version=2011-01-01&{group}&{list_}&ProtectedFromScaleIn=yes", False),
            ("SetInstanceProtection", f"Version=2011-01-01&{group}&{list_}", False),
            ("SetInstanceProtection", f"{group}&{list_}&ProtectedFromScaleIn=true", False),
            ("SetInstanceProtection", f"Version=2011-01-01&{group}&{list_}&ProtectedFromScaleIn=true&More=1", False),
            ("DescribeInstances", "Version=2016-11-15&Filter.1.Name=a&Filter.1.Value.1=b", True),
            ("DescribeInstances", "Version=2016-11-15&Filter.1.Name=a&Filter.1.Values.1=b", False),
        ]:
            body = body if body.startswith("{") else f"Action={operation}&{body}"
            found = request_misfits(model_of(operation).operation_model(operation), body)
            self.assertEqual(found == [], is_known, (body, found))


class Sent(unittest.TestCase):
    def test_every_request_of_ebb_is_one_that_the_service_models_know(self):
        path = os.environ.get("EBB_REQUESTS")
        if not path:
            self.skipTest("EBB_REQUESTS names no file")
        with open(path) as lines:
            requests = [json.loads(line) for line in sorted(set(lines))]
        for request in requests:
            if request["operation"] in ASKED_BY_PATH:
                continue
            operation = model_of(request["operation"]).operation_model(request["operation"])
            with self.subTest(**request):
                self.assertEqual(request_misfits(operation, request["body"]), [])
        self.assertGreater(len({request["operation"] for request in requests}), 30, "hardly anything was kept")


if __name__ == "__main__":
    unittest.main()
