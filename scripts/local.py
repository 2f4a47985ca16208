#!/usr/bin/env python3
"""Runs the functions on this machine: `cargo lambda watch` serves them, the simulated Region is their AWS.

    scripts/local.py demo                         play the demonstration
    scripts/local.py invoke FUNCTION EVENT...     run a function on sample events, with `cargo lambda invoke`
    scripts/local.py events                       run each function on each of its sample events
    scripts/local.py serve                        keep both running, until Ctrl-C

Everything is built before, by make. Both servers listen on free ports of 127.0.0.1 only, and are stopped at the end.
"""

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
FUNCTIONS = ["spot-drainer", "lifecycle-drainer", "scale-in-reaper"]
LOGS = TARGET / "local"
START_SECONDS = 120
HOST = "127.0.0.1"


def free_port():
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


def environment(region_port):
    """What the functions see: the simulated Region, and credentials that open nothing."""
    return os.environ | {
        "AWS_ENDPOINT_URL": f"http://{HOST}:{region_port}",
        "AWS_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "example",
        "AWS_EC2_METADATA_DISABLED": "true",
        # The world's time may run faster than the functions', so they look often.
        "POLL_INTERVAL_SECONDS": "1",
        "STANDALONE_TASKS": "stop",
        # A small cluster comes to rest within a few sweeps.
        "REAPER_MODE": "act",
        "MAX_REMOVALS_PERCENT": "25",
        "INSTANCE_PRICES": '{"m7g.large": 0.0816, "m7g.xlarge": 0.1632, "g4dn.xlarge": 0.526}',
        "PATH": f"{ROOT / '.tools' / 'bin'}{os.pathsep}{os.environ['PATH']}",
    }


@contextlib.contextmanager
def background(name, command, env):
    """Runs a server while the block runs; its output goes to a log."""
    LOGS.mkdir(parents=True, exist_ok=True)
    with open(LOGS / f"{name}.log", "w") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env=env, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def wait_for(name, process, port):
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
            return
        time.sleep(0.1)
    log = (LOGS / f"{name}.log").read_text()
    sys.exit(f"{name} did not start:\n{log[-4000:]}")


def watch_command(lambda_port):
    command = ["cargo", "lambda", "watch", "--ignore-changes", "-A", HOST, "-P", str(lambda_port)]
    # One instance of a function for each message that it waits with.
    command += ["--concurrency", "4"]
    return command


def main():
    if len(sys.argv) < 2 or sys.argv[1] not in ("demo", "invoke", "events", "serve"):
        sys.exit(__doc__)
    action, arguments = sys.argv[1], sys.argv[2:]
    region_port, lambda_port = free_port(), free_port()
    env = environment(region_port)
    region = [str(TARGET / "debug" / "ebb-region")]
    options = ["--port", str(region_port), "--lambda", str(lambda_port)]

    with background("functions", watch_command(lambda_port), env) as functions:
        wait_for("functions", functions, lambda_port)
        if action == "demo":
            return subprocess.run(region + ["demo"] + options + arguments, cwd=ROOT, env=env).returncode
        with background("region", region + ["serve"] + options, env) as server:
            wait_for("region", server, region_port)
            if action == "serve":
                return serve(region_port, lambda_port)
            if action == "events":
                return run_events(lambda_port, env)
            return invoke(arguments, lambda_port, env)


def serve(region_port, lambda_port):
    print(f"AWS is served on http://{HOST}:{region_port}, the functions on http://{HOST}:{lambda_port}.")
    print(f"  curl http://{HOST}:{region_port}/_ebb/world")
    print("Ctrl-C ends both.", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        signal.pause()
    return 0


def invoke_command(function, event, lambda_port):
    address = ["--invoke-address", HOST, "--invoke-port", str(lambda_port)]
    return ["cargo", "lambda", "invoke", function, "--data-file", str(event)] + address


def invoke(arguments, lambda_port, env):
    if len(arguments) < 2:
        sys.exit(__doc__)
    function, events = arguments[0], arguments[1:]
    worst = 0
    for event in events:
        if len(events) > 1:
            print(f"{event}: ", end="", flush=True)
        worst = max(worst, subprocess.run(invoke_command(function, event, lambda_port), cwd=ROOT, env=env).returncode)
    return worst


def run_events(lambda_port, env):
    """A malformed event must fail, so that it reaches the dead-letter queue; every other one must succeed."""
    wrong = []
    count = 0
    for function in FUNCTIONS:
        for event in sorted((ROOT / "events" / function).glob("*.json")):
            command = invoke_command(function, event, lambda_port)
            run = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
            count += 1
            if (run.returncode != 0) != event.name.startswith("malformed-"):
                wrong.append(f"{event.relative_to(ROOT)}: {run.stdout}{run.stderr}")
    print(f"{count} sample events run by cargo lambda invoke, {len(wrong)} came off wrong")
    print("\n".join(wrong), end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
