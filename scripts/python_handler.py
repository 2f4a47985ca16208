#!/usr/bin/env python3
"""The Spot drainer's usual handler in Python, with boto3: what `cold_start.py` measures Ebb beside.

Does the same for an interruption notice, with the same two calls, and nothing for other events. None
of Ebb's care is in it, and its runtime is a short loop where Lambda's own does more: both make it
start sooner.
"""

import http.client
import json
import os

import boto3

ecs = boto3.client("ecs")


def handler(event):
    notice = event.get("detail") or {}
    if "instance-action" not in notice:
        return None
    cluster = os.environ["ECS_CLUSTERS"]
    found = ecs.list_container_instances(
        cluster=cluster, filter=f"ec2InstanceId == {notice['instance-id']}"
    )
    return ecs.update_container_instances_state(
        cluster=cluster, containerInstances=found["containerInstanceArns"], status="DRAINING"
    )


def main():
    runtime = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    base = "/2018-06-01/runtime/invocation"
    while True:
        runtime.request("GET", f"{base}/next")
        invocation = runtime.getresponse()
        answer = handler(json.loads(invocation.read()))
        request_id = invocation.headers["Lambda-Runtime-Aws-Request-Id"]
        runtime.request("POST", f"{base}/{request_id}/response", json.dumps(answer, default=str))
        runtime.getresponse().read()


main()
