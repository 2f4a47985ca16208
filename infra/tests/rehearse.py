#!/usr/bin/env python3
"""Applies the examples to a simulated AWS account, checks what they created, and destroys them.

TF_PLUGIN_DIR may name a folder with the provider; SKIP_TERRAFORM=1 leaves everything out.

The account is moto's, in this process, and the examples are applied as they are: the environment
leads the provider to moto. What moto cannot do is done or left out here, and nowhere in the module:

- PutFunctionRecursionConfig and GetFunctionRecursionConfig do not exist in moto. `Account` answers
  them.
- PutQueryDefinition, DescribeQueryDefinitions and DeleteQueryDefinition do not exist in moto either.
- For an ECS service without a network configuration, moto answers an empty one, on which the
  provider crashes. `Account` leaves it out.
- What moto forgets, or returns differently, a second apply would set again: `FORGOTTEN`.
- moto starts at most one instance of a mixed group; terraform would wait for the second.
- Nothing is delivered: no rule, hook, schedule or queue invokes a function. The tests on the
  simulated Region do that.
- Nothing is denied: moto does not enforce policies here. infra/tests/iam.tftest.hcl reads them.
- Packages are not run. The functions' programs are started instead, with the environment that the
  account has for them.
"""

import base64
import concurrent.futures
import contextlib
import hashlib
import http.server
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import threading
import time
import uuid
import zipfile

import boto3
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Response

import terraform

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
STAGE = TARGET / "rehearsal"
BINARIES = TARGET / "debug"
HOST = "127.0.0.1"
REGION = "eu-west-1"
# Examples with the same prefix go side by side into Regions of their own.
OTHER_REGIONS = ["eu-central-1", "us-east-1"]
FUNCTIONS = ["spot-drainer", "lifecycle-drainer", "scale-in-reaper"]
START_SECONDS = 20

# By kind of resource, as a second plan has it.
FORGOTTEN = {
    "aws_autoscaling_group": {
        "capacity_reservation_specification",
        "launch_template",
        "mixed_instances_policy",
    },
    "aws_autoscaling_lifecycle_hook": {"notification_target_arn", "role_arn"},
    "aws_autoscaling_policy": {"enabled", "predictive_scaling_configuration"},
    "aws_ecs_service": {"availability_zone_rebalancing"},
    "aws_lambda_function": {"logging_config"},
    "aws_launch_template": {"tag_specifications"},
    "aws_sqs_queue": {"redrive_policy"},
}


class Account:
    """Moto, with what the provider needs and it lacks."""

    RECURSION_CONFIG = re.compile(r"^/2024-08-31/functions/([^/]+)/recursion-config$")

    def __init__(self, moto):
        self.moto = moto
        self.recursion_configs = {}
        self.queries = {}

    def __call__(self, environ, start_response):
        found = self.RECURSION_CONFIG.match(environ["PATH_INFO"])
        if found:
            return self.recursion_config(found[1], environ, start_response)
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        if target.endswith(("QueryDefinition", "QueryDefinitions")):
            return self.query_definition(target.split(".")[1], environ, start_response)
        if "EC2ContainerService" in target:
            return self.without_empty_networks(environ, start_response)
        return self.moto(environ, start_response)

    def recursion_config(self, function, environ, start_response):
        if environ["REQUEST_METHOD"] == "PUT":
            body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
            self.recursion_configs[function] = json.loads(body)["RecursiveLoop"]
        start_response("200 OK", [("Content-Type", "application/json")])
        return [
            json.dumps(
                {"RecursiveLoop": self.recursion_configs.get(function, "Terminate")}
            ).encode()
        ]

    def query_definition(self, action, environ, start_response):
        query = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
        if action == "PutQueryDefinition":
            query.setdefault("queryDefinitionId", str(uuid.uuid4()))
            self.queries[query["queryDefinitionId"]] = query
            answer = {"queryDefinitionId": query["queryDefinitionId"]}
        elif action == "DeleteQueryDefinition":
            answer = {"success": self.queries.pop(query["queryDefinitionId"], None) is not None}
        else:
            answer = {"queryDefinitions": list(self.queries.values())}
        start_response("200 OK", [("Content-Type", "application/x-amz-json-1.1")])
        return [json.dumps(answer).encode()]

    def without_empty_networks(self, environ, start_response):
        answer = Response.from_app(self.moto, environ)
        answer.set_data(re.sub(rb'"networkConfiguration": ({}|null), ', b"", answer.get_data()))
        return answer(environ, start_response)


class Quiet(WSGIRequestHandler):
    def log(self, *_):
        pass


@contextlib.contextmanager
def served(app):
    server = make_server(HOST, 0, app, threaded=True, request_handler=Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()


def client(service, region=REGION):
    return boto3.client(service, region_name=region)


def existing_cluster(region):
    """Creates what the user of an example has already in a Region: a cluster and a group.

    Returns the Region's subnets and the group's launch template.
    """
    ec2 = client("ec2", region)
    subnets = [subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"]]
    client("ecs", region).create_cluster(clusterName="shop")
    image = ec2.describe_images()["Images"][0]["ImageId"]
    template = ec2.create_launch_template(
        LaunchTemplateName="shop",
        LaunchTemplateData={"ImageId": image, "InstanceType": "m7g.large"},
    )
    client("autoscaling", region).create_auto_scaling_group(
        AutoScalingGroupName="shop-instances",
        LaunchTemplate={"LaunchTemplateName": "shop", "Version": "$Latest"},
        MinSize=0,
        MaxSize=3,
        VPCZoneIdentifier=subnets[0],
    )
    return subnets, template["LaunchTemplate"]["LaunchTemplateId"]


def stage():
    """The module as a user has it, with packages where `make build` leaves them."""
    shutil.rmtree(STAGE, ignore_errors=True)
    ignored = shutil.ignore_patterns(".terraform*", "*.tfstate*")
    shutil.copytree(ROOT / "infra", STAGE / "infra", ignore=ignored)
    for function in FUNCTIONS:
        package = STAGE / "target" / "lambda" / function / "bootstrap.zip"
        package.parent.mkdir(parents=True)
        with zipfile.ZipFile(package, "w") as archive:
            archive.writestr("bootstrap", "never run")


def publish(release):
    """The zips of a release with their checksums, and a bucket for them.

    Returns the SHA-256 of each function's zip.
    """
    folder = STAGE / "releases" / release
    folder.mkdir(parents=True)
    sums = {}
    for function in FUNCTIONS:
        package = folder / f"{function}-arm64.zip"
        shutil.copy(STAGE / "target" / "lambda" / function / "bootstrap.zip", package)
        sums[function] = hashlib.sha256(package.read_bytes())
    lines = [f"{sha256.hexdigest()}  {function}-arm64.zip\n" for function, sha256 in sums.items()]
    (folder / "SHA256SUMS").write_text("".join(lines))
    return {
        function: base64.b64encode(sha256.digest()).decode() for function, sha256 in sums.items()
    }


class Example:
    """One of infra/examples, and the terraform that looks after it."""

    def __init__(self, name, prefix, variables, region=REGION):
        self.name = name
        self.prefix = prefix
        self.region = region
        self.directory = STAGE / "infra" / "examples" / name
        self.variables = [f"-var={key}={value}" for key, value in variables.items()]

    def run(self, *arguments):
        return terraform.run(
            self.directory, *arguments, environment={"AWS_REGION": self.region}
        )

    def terraform(self, *arguments):
        answer = self.run(*arguments)
        if answer.returncode != 0:
            errors = answer.stdout[max(0, answer.stdout.find("Error:")) :]
            sys.exit(f"terraform {' '.join(arguments)} of {self.name}:\n{errors[:6000]}")
        return answer.stdout

    def apply(self):
        self.terraform("apply", "-auto-approve", "-input=false", "-no-color", *self.variables)

    def planned_changes(self):
        """What a second apply would change: attributes, by kind of resource."""
        self.terraform("plan", "-out=again.tfplan", "-input=false", "-no-color", *self.variables)
        plan = self.json("show", "-json", "-no-color", "again.tfplan")
        changed = {}
        for resource in plan["resource_changes"]:
            before, after = resource["change"]["before"], resource["change"]["after"]
            if resource["change"]["actions"] != ["no-op"] and resource["mode"] == "managed":
                check(
                    before and after, f"a second apply would not just change {resource['address']}"
                )
                attributes = {key for key in after if after[key] != before.get(key)}
                changed.setdefault(resource["type"], set()).update(attributes)
        return changed

    def destroy(self):
        self.terraform("destroy", "-auto-approve", "-input=false", "-no-color", *self.variables)

    def resources(self):
        def resources_of(module):
            yield from module.get("resources", [])
            for child in module.get("child_modules", []):
                yield from resources_of(child)

        state = self.json("show", "-json", "-no-color")
        return [
            resource
            for resource in resources_of(state["values"]["root_module"])
            if resource["mode"] == "managed"
        ]

    def json(self, *arguments):
        # Warnings go to the same place; the answer is the line that is JSON.
        lines = self.terraform(*arguments).splitlines()
        return json.loads(next(line for line in lines if line.startswith("{")))


def check(condition, sentence):
    if not condition:
        sys.exit(f"rehearsal: {sentence}")


def check_names(example):
    """Two instances of the module fit into one account if every name begins with the prefix."""
    for resource in example.resources():
        values = resource["values"]
        for key in ("name", "function_name", "alarm_name", "dashboard_name"):
            name = (values.get(key) or "").removeprefix("/aws/lambda/").split(":")[-1]
            within = resource["type"] in (
                "aws_iam_role_policy",
                "aws_lambda_function_event_invoke_config",
            )
            check(
                not name or within or name.startswith(example.prefix),
                f"{resource['address']} is called {name}, without the prefix {example.prefix}-",
            )


def check_functions(example):
    functions = client("lambda", example.region)
    for function in FUNCTIONS:
        name = f"{example.prefix}-{function}"
        configuration = functions.get_function_configuration(FunctionName=name)
        check(
            configuration["Runtime"] == "provided.al2023"
            and configuration["Architectures"] == ["arm64"],
            f"{name} has the configuration {configuration}",
        )
        invoke_config = functions.get_function_event_invoke_config(FunctionName=name)
        on_failure = invoke_config["DestinationConfig"]["OnFailure"]
        check(
            on_failure["Destination"].endswith(f":{name}-dead-letters"),
            f"{name} has no dead-letter queue",
        )
        check_starts(name, function, configuration["Environment"]["Variables"], example.region)
    mappings = functions.list_event_source_mappings()["EventSourceMappings"]
    ours = [
        mapping
        for mapping in mappings
        if mapping["FunctionArn"].endswith(f":{example.prefix}-spot-drainer")
    ]
    types = [mapping["FunctionResponseTypes"] for mapping in ours]
    check(
        types == [["ReportBatchItemFailures"]],
        f"the queue of {example.name} has the mappings {mappings}",
    )


def check_refuses_other_packages(example):
    """A zip that is not the one in SHA256SUMS fails the apply, and none is uploaded."""
    package = STAGE / "releases" / "v0.2.0" / f"{FUNCTIONS[0]}-arm64.zip"
    content = package.read_bytes()
    package.write_bytes(content + b"x")
    options = ["-auto-approve", "-input=false", "-no-color", "-target=module.release"]
    answer = example.run("apply", *options, *example.variables)
    package.write_bytes(content)
    check(
        answer.returncode != 0 and "is not what the checksums say" in answer.stdout,
        f"a forged package was taken:\n{answer.stdout}",
    )
    objects = client("s3", example.region).list_objects_v2(Bucket="packages").get("Contents", [])
    uploaded = [each["Key"] for each in objects if FUNCTIONS[0] in each["Key"]]
    check(not uploaded, f"a forged package was uploaded as {uploaded}")


def check_packages(example, sums):
    functions = client("lambda", example.region)
    for function, sha256 in sums.items():
        name = f"{example.prefix}-{function}"
        code = functions.get_function_configuration(FunctionName=name)["CodeSha256"]
        check(code == sha256, f"{name} has code {code} and not the release's {sha256}")


def check_starts(name, function, environment, region):
    """Starts a function. It has accepted its settings once it asks for an event."""
    binary = BINARIES / function
    check(binary.exists(), f"{function} is not built: run `make rehearse`")
    asked = threading.Event()

    class Runtime(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.set()
            # The program waits for an event, as it does in Lambda, until it is ended.
            time.sleep(START_SECONDS)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer((HOST, 0), Runtime)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    lambdas_own = {
        "AWS_LAMBDA_RUNTIME_API": f"{HOST}:{server.server_port}",
        "AWS_LAMBDA_FUNCTION_NAME": name,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": "rehearsal",
        "AWS_REGION": region,
    }
    with open(STAGE / f"{name}.log", "w+") as log:
        process = subprocess.Popen(
            [binary], env=environment | lambdas_own, stdout=log, stderr=subprocess.STDOUT
        )
        deadline = time.monotonic() + START_SECONDS
        while not asked.wait(0.1) and process.poll() is None and time.monotonic() < deadline:
            pass
        process.kill()
        process.wait()
        server.shutdown()
        log.seek(0)
        check(
            asked.is_set(),
            f"{name} does not start with the environment {environment}:\n{log.read()}",
        )


def check_hooks(example, groups):
    for group in groups:
        hooks = client("autoscaling", example.region).describe_lifecycle_hooks(AutoScalingGroupName=group)[
            "LifecycleHooks"
        ]
        ours = [hook for hook in hooks if hook["LifecycleHookName"] == f"{example.prefix}-drain"]
        check(
            len(ours) == 1 and ours[0]["DefaultResult"] == "CONTINUE",
            f"{group} has the hooks {hooks}",
        )
    subscriptions = client("sns", example.region).list_subscriptions()["Subscriptions"]
    endpoints = [
        subscription["Endpoint"].split(":")[-1]
        for subscription in subscriptions
        if subscription["TopicArn"].endswith(f":{example.prefix}-lifecycle")
    ]
    check(
        endpoints == [f"{example.prefix}-lifecycle-drainer"],
        f"the topic of {example.name} has the subscribers {endpoints}",
    )


def remaining_names(prefix, region):
    """The names of an example's resources that still exist."""
    return [
        name
        for names in (
            [
                function["FunctionName"]
                for function in client("lambda", region).list_functions()["Functions"]
            ],
            [url.split("/")[-1] for url in client("sqs", region).list_queues().get("QueueUrls", [])],
            [topic["TopicArn"].split(":")[-1] for topic in client("sns", region).list_topics()["Topics"]],
            [rule["Name"] for rule in client("events", region).list_rules()["Rules"]],
            [schedule["Name"] for schedule in client("scheduler", region).list_schedules()["Schedules"]],
            [role["RoleName"] for role in client("iam", region).list_roles()["Roles"]],
            [
                alarm["AlarmName"]
                for alarm in client("cloudwatch", region).describe_alarms()["MetricAlarms"]
            ],
            [
                board["DashboardName"]
                for board in client("cloudwatch", region).list_dashboards()["DashboardEntries"]
            ],
            [
                group["logGroupName"].split("/")[-1]
                for group in client("logs", region).describe_log_groups()["logGroups"]
            ],
        )
        for name in names
        if name.startswith(f"{prefix}-")
    ]


def in_parallel(examples, action):
    with concurrent.futures.ThreadPoolExecutor() as pool:
        return list(pool.map(action, examples))


def main():
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "example",
        "AWS_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "TF_IN_AUTOMATION": "true",
        # The complete example attaches one of them.
        "MOTO_IAM_LOAD_MANAGED_POLICIES": "true",
    }
    os.environ.pop("TF_DATA_DIR", None)
    if terraform.skipped("rehearsed"):
        return 0
    terraform.require("rehearsed")
    began = time.monotonic()

    def say(text):
        print(f"{time.monotonic() - began:4.0f} s  {text}", flush=True)

    stage()
    with served(Account(DomainDispatcherApplication(create_backend_app))) as port:
        os.environ["AWS_ENDPOINT_URL"] = f"http://{HOST}:{port}"
        subnets, template = existing_cluster(REGION)
        for region in OTHER_REGIONS:
            existing_cluster(region)
        sums = publish("v0.2.0")
        client("s3", OTHER_REGIONS[0]).create_bucket(
            Bucket="packages", CreateBucketConfiguration={"LocationConstraint": OTHER_REGIONS[0]}
        )
        minimal = Example(
            "minimal", "ebb", {"cluster": "shop", "auto_scaling_group": "shop-instances"}
        )
        complete = Example(
            "complete",
            "ebb-example",
            {"subnet_ids": json.dumps(subnets), "email": "people@example.com", "min_size": 1},
        )
        provider = Example(
            "capacity-provider",
            "ebb-provider",
            {"subnet_ids": json.dumps(subnets), "launch_template_id": template},
        )
        existing = Example(
            "existing-cluster",
            "ebb",
            {
                "cluster": "shop",
                "auto_scaling_groups": '["shop-instances"]',
                "base_url": f"file://{STAGE}/releases",
                "release": "v0.2.0",
                "checksums_path": f"{STAGE}/releases/v0.2.0/SHA256SUMS",
                "bucket": "packages",
                "email": "people@example.com",
            },
            region=OTHER_REGIONS[0],
        )
        many = Example(
            "many-clusters",
            "ebb",
            {"clusters": '{ shop = ["shop-instances"] }', "account_concurrency": 1000},
            region=OTHER_REGIONS[1],
        )
        examples = [minimal, complete, provider, existing, many]
        every = {path.name for path in (ROOT / "infra" / "examples").iterdir()}
        check(every == {example.name for example in examples}, f"not every one of {every} is applied")

        for example in examples:
            terraform.init(example.directory, "rehearsed")
        check_refuses_other_packages(existing)
        in_parallel(examples, Example.apply)
        for example in examples:
            say(f"{example.name}: applied, {len(example.resources())} resources")
            check_names(example)
            check_functions(example)
        check_packages(existing, sums)
        for example in (minimal, existing, many):
            check_hooks(example, ["shop-instances"])
        check_hooks(complete, ["ebb-example-mixed", "ebb-example-fallback"])
        groups = client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
        names = [group["AutoScalingGroupName"] for group in groups]
        check_hooks(provider, [name for name in names if name.startswith("ebb-provider-")])
        for example, changes in zip(examples, in_parallel(examples, Example.planned_changes)):
            new = {
                kind: attributes - FORGOTTEN.get(kind, set())
                for kind, attributes in changes.items()
            }
            check(not any(new.values()), f"a second apply of {example.name} would change {new}")
            say(f"{example.name}: a second apply would change nothing but what moto forgets")

        in_parallel(examples, Example.destroy)
        for example in examples:
            remaining = remaining_names(example.prefix, example.region)
            check(not remaining, f"{example.name} left {remaining} behind")
            say(f"{example.name}: destroyed, nothing remains")
    return 0


if __name__ == "__main__":
    sys.exit(main())
