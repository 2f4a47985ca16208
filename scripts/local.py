#!/usr/bin/env python3
"""Runs the functions on this machine: `cargo lambda watch` serves them, a simulated Region is AWS.

Everything is built before, by make. Both servers listen on 127.0.0.1 only, on free ports but for the
Region that `serve` serves, and are stopped at the end, also when the end is Ctrl-C or a closed
terminal.
"""

import argparse
import concurrent.futures
import contextlib
import json
import os
import pathlib
import select
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import sample_events

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
FUNCTIONS = ["spot-drainer", "lifecycle-drainer", "scale-in-reaper"]
# How many sample events run at a time: some have a function wait for ten seconds.
EVENTS_AT_ONCE = 16
LOGS = TARGET / "local"
START_SECONDS = 120
# How long a server may take to end before it is killed.
STOP_SECONDS = 10
HOST = "127.0.0.1"
# How many times as fast as the clock the Region's time runs while one function is tried: a drain of
# minutes takes seconds.
INVOKE_SPEED = "20"
# Where people find the Region.
REGION_PORT = 4599
ENDING_SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


class Stopped(SystemExit):
    """A signal ends the program, by way of every `finally`."""


def stop_on_signals():
    def stop(number, _frame):
        # A closed terminal signals twice, through make and by itself: the second must not
        # interrupt the stopping of the servers.
        for ending in ENDING_SIGNALS:
            signal.signal(ending, signal.SIG_IGN)
        raise Stopped(128 + number)

    for ending in ENDING_SIGNALS:
        signal.signal(ending, stop)


def free_port():
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


def environment(endpoint):
    """What the functions see: the simulated Region, and credentials that open nothing."""
    return os.environ | {
        "AWS_ENDPOINT_URL": endpoint,
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
        # Patience is in hours of the functions' time, and the world's runs faster.
        "LOW_FOR_SWEEPS": "1",
        "HOLD_AFTER_TAKE_BACK_SECONDS": "0",
        "LIFECYCLE_TOPIC_ARN": "arn:aws:sns:eu-west-1:111122223333:shop-termination",
        "NOTIFICATION_TOPIC_ARN": "arn:aws:sns:eu-west-1:111122223333:people",
        "INSTANCE_PRICES": '{"m7g.large": 0.0816, "m7g.xlarge": 0.1632, "g4dn.xlarge": 0.526}',
        "PATH": f"{ROOT / '.tools' / 'bin'}{os.pathsep}{os.environ['PATH']}",
    }


@contextlib.contextmanager
def background(name, command, env, output=None):
    """Runs a server while the block runs; its output goes to a log unless it has one of its own."""
    LOGS.mkdir(parents=True, exist_ok=True)
    # Signals wait until `finally` is in charge: one in between would leave the server behind.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING_SIGNALS)
    with open(LOGS / f"{name}.log", "w") as log:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output or log,
            stderr=output or subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_SETMASK, mask),
        )
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            yield process
        finally:
            stop(process)


def stop(process):
    """Stops a server with all that it has started: they share a process group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=STOP_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


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
    command += ["--concurrency", str(EVENTS_AT_ONCE)]
    return command


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    demo = commands.add_parser("demo", help="play the demonstration")
    demo.add_argument("--speed", help="how many times as fast as the clock the simulated time runs")
    demo.add_argument("--seed", help="the seed of what happens by chance")
    demo.add_argument(
        "--without-ebb", action="store_true", help="play the same story without Ebb"
    )
    invoke = commands.add_parser(
        "invoke", help="run a function on sample events, with `cargo lambda invoke`"
    )
    invoke.add_argument("function", choices=FUNCTIONS)
    invoke.add_argument("events", nargs="+", metavar="EVENT", help="the path of a sample event")
    commands.add_parser("events", help="run each function on each of its sample events")
    serving = commands.add_parser("serve", help="serve the Region and the functions, until Ctrl-C")
    serving.add_argument("--port", type=int, default=REGION_PORT, help="the Region's port")
    serving.add_argument("--speed", help="how many times as fast as the clock the simulated time runs")
    serving.add_argument("--idle", action="store_true", help="a cluster with far more than it needs")
    return parser.parse_args()


def main():
    args = arguments()
    stop_on_signals()
    say_which_endpoint(args.command)
    region_port = args.port if args.command == "serve" else free_port()
    lambda_port = free_port()
    endpoint = endpoint_of_caller(args.command) or f"http://{HOST}:{region_port}"
    env = environment(endpoint)
    region = [str(TARGET / "debug" / "ebb-region")]
    options = ["--port", str(region_port), "--lambda", str(lambda_port)]

    if args.command == "demo":
        command = region + ["demo"] + options + demo_options(args)
        with contextlib.ExitStack() as stack:
            if not args.without_ebb:
                functions = background("functions", watch_command(lambda_port), env)
                wait_for("functions", stack.enter_context(functions), lambda_port)
            return subprocess.run(command, cwd=ROOT, env=env).returncode
    with background("functions", watch_command(lambda_port), env) as functions:
        wait_for("functions", functions, lambda_port)
        if args.command == "serve":
            command = region + ["serve"] + options + serve_options(args)
            # It says by itself where it listens, or why it does not, and then what happens.
            with background("region", command, env, output=sys.stdout) as server:
                return wait_for_the_end(server)
        if args.command == "invoke":
            # One function is tried on its own: nothing may reach the others meanwhile.
            options += ["--without-hooks", "--speed", INVOKE_SPEED]
            if endpoint_of_caller(args.command):
                return invoke(args.function, args.events, lambda_port, env)
        with background("region", region + ["serve"] + options, env) as server:
            wait_for("region", server, region_port)
            if args.command == "events":
                return run_events(lambda_port, env)
            return invoke(args.function, args.events, lambda_port, env)


def endpoint_of_caller(command):
    """The endpoint that the caller has set, if `invoke` may use it: one of this machine, such as
    that of `make serve`. Another is not touched, and whoever set it is told so."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL")
    if not endpoint:
        return None
    is_local = urllib.parse.urlsplit(endpoint).hostname in {HOST, "localhost", "::1"}
    return endpoint if command == "invoke" and is_local else None


def say_which_endpoint(command):
    endpoint = os.environ.get("AWS_ENDPOINT_URL")
    if endpoint and endpoint_of_caller(command):
        print(f"On your AWS_ENDPOINT_URL, {endpoint}.", flush=True)
    elif endpoint:
        print(
            f"Your AWS_ENDPOINT_URL, {endpoint}, is not used: this plays on a Region of its own.",
            flush=True,
        )


def demo_options(args):
    name = "demo-without-ebb.html" if args.without_ebb else "demo.html"
    options = ["--page", os.path.relpath(TARGET / name, ROOT)]
    options += ["--without-ebb"] if args.without_ebb else []
    for name in ("speed", "seed"):
        if getattr(args, name) is not None:
            options += [f"--{name}", getattr(args, name)]
    return options


def serve_options(args):
    options = ["--idle"] if args.idle else []
    return options + (["--speed", args.speed] if args.speed is not None else [])


def wait_for_the_end(server):
    """Waits until the server ends, nobody can read the output any more, or a signal comes.

    A closed terminal signals the leader of its session only, and make, as the leader, would not
    pass it on but wait for this program.
    """
    output = select.poll()
    # A poll without events reports errors and hang-ups.
    output.register(sys.stdout, 0)
    with contextlib.suppress(Stopped):
        while server.poll() is None:
            # macOS cannot poll a terminal, and says so at once.
            if any(not event & select.POLLNVAL for _, event in output.poll(0)):
                return 0
            time.sleep(0.5)
        return server.returncode
    return 0


def invoke_command(function, event, lambda_port):
    address = ["--invoke-address", HOST, "--invoke-port", str(lambda_port)]
    data = LOGS / f"{function}-{pathlib.Path(event).name}"
    data.write_text(sample_events.read_as_of_now(ROOT / event))
    return ["cargo", "lambda", "invoke", function, "--data-file", str(data)] + address


def invoke(function, events, lambda_port, env):
    exit_code = 0
    for event in events:
        if len(events) > 1:
            print(f"{event}:", flush=True)
        begin_terminations(ROOT / event, env["AWS_ENDPOINT_URL"])
        command = invoke_command(function, event, lambda_port)
        run = subprocess.run(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True)
        print(readable(run.stdout), flush=True)
        exit_code = max(exit_code, run.returncode)
    return exit_code


def begin_terminations(event, endpoint):
    """Has the Region terminate what a sample event says is terminating, with the event's own token:
    the lifecycle drainer proves an action before it drains anything."""
    for action in lifecycle_actions(event.read_text()):
        body = {
            "instance_id": action.get("EC2InstanceId"),
            "hook": action.get("LifecycleHookName"),
            "token": action.get("LifecycleActionToken"),
        }
        request = urllib.request.Request(
            f"{endpoint}/_ebb/terminate", json.dumps(body).encode(), method="POST"
        )
        # A malformed event names nothing that can terminate, another endpoint knows no such path.
        with contextlib.suppress(urllib.error.URLError):
            urllib.request.urlopen(request).close()
            print(f"{action['EC2InstanceId']} terminates now, as the event says.", flush=True)


def lifecycle_actions(value):
    """The termination lifecycle actions in an event, however deep they are wrapped."""
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            yield from lifecycle_actions(json.loads(value))
    elif isinstance(value, list):
        for item in value:
            yield from lifecycle_actions(item)
    elif isinstance(value, dict):
        if value.get("LifecycleTransition") == "autoscaling:EC2_INSTANCE_TERMINATING":
            yield value
        for item in value.values():
            yield from lifecycle_actions(item)


def readable(answer):
    """An answer for people: indented, and the texts in it as texts."""
    try:
        value = json.loads(answer)
    except ValueError:
        return answer.rstrip()
    texts = []
    for cluster in value.get("clusters", []) if isinstance(value, dict) else []:
        texts.append(cluster.pop("text", ""))
    return "\n".join(texts + [json.dumps(value, indent=2, ensure_ascii=False)])


def run_events(lambda_port, env):
    """Runs every sample event.

    One that is malformed or unknown must fail, so that it reaches the dead-letter queue; all others
    must succeed.
    """

    def what_is_wrong_with(event):
        command = invoke_command(event.parent.name, event, lambda_port)
        run = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
        must_fail = event.name.startswith(("malformed-", "unknown-"))
        if (run.returncode != 0) == must_fail:
            return None
        outcome = "succeeded, but must fail" if run.returncode == 0 else "failed"
        return f"{event.relative_to(ROOT)} {outcome}:\n{run.stdout}{run.stderr}"

    events = [
        event
        for function in FUNCTIONS
        for event in sorted((ROOT / "events" / function).glob("*.json"))
    ]
    with concurrent.futures.ThreadPoolExecutor(EVENTS_AT_ONCE) as threads:
        unexpected = [wrong for wrong in threads.map(what_is_wrong_with, events) if wrong]
    count = len(events)
    if unexpected:
        print("\n".join(unexpected))
        print(f"{len(unexpected)} of {count} sample events did not end as they must.")
        return 1
    print(f"{count} sample events: the malformed and the unknown ones failed, all others succeeded.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
