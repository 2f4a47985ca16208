#!/usr/bin/env python3
"""Plays the trials of the simulated Region with a drainer of anybody's, and prints what came of them.

The drainer is a command that serves one function as Lambda's runtimes do: it asks the Runtime API at
AWS_LAMBDA_RUNTIME_API for its next event, and reaches AWS at AWS_ENDPOINT_URL. As in Lambda, an
execution environment is a process of it, which handles one event at a time; one that runs out of time
is killed. Every trial has a Region of its own, and all are played at once: time is not sped up unless
you say so, as a drainer sleeps by the clock.

Sources: Lambda Developer Guide, runtimes-api and lambda-runtime-environment.
"""

import argparse
import contextlib
import http.server
import json
import os
import pathlib
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid

import local

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
TRIAL = TARGET / "debug" / "examples" / "trial"
HOST = "127.0.0.1"
FUNCTION = "drainer"
FUNCTION_ARN = f"arn:aws:lambda:eu-west-1:111122223333:function:{FUNCTION}"
# How long a process may take until it asks for its first event.
START_SECONDS = 120
# How many processes start at once: more would take longer, and each is waited for.
STARTS_AT_ONCE = 2
# How often it is looked whether a process has ended.
LOOK_SECONDS = 0.2

starts = threading.BoundedSemaphore(STARTS_AT_ONCE)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    # Forty drains begin in the same moment.
    request_queue_size = 256

    def __init__(self, handler, **attributes):
        super().__init__((HOST, 0), type("Handler", (handler,), attributes))
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def port(self):
        return self.server_address[1]

    def handle_error(self, request, client_address):
        # Whoever asked may be gone: a process that was killed, or a Region whose trial is over.
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def answer(self, status, body=b"", headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class RuntimeApi(Handler):
    """The Runtime API of one execution environment."""

    environment = None

    def do_GET(self):
        self.environment.ready.set()
        payload, headers = self.environment.events.get()
        self.answer(200, payload, headers)

    def do_POST(self):
        failed = self.path.endswith("/error")
        self.environment.answers.put((failed, self.body()))
        self.answer(202)


class InvokeApi(Handler):
    """Lambda's Invoke API, for the one function."""

    function = None

    def do_POST(self):
        trace = self.headers.get("X-Amzn-Trace-Id", "")
        failed, body = self.function.invoke(self.body(), trace)
        self.answer(200, body, [("X-Amz-Function-Error", "Unhandled")] if failed else [])


class Environment:
    """An execution environment: a process, and the Runtime API that it asks."""

    def __init__(self, command, variables, log):
        self.ready = threading.Event()
        self.events, self.answers = queue.Queue(), queue.Queue()
        self.server = Server(RuntimeApi, environment=self)
        variables = variables | {"AWS_LAMBDA_RUNTIME_API": f"{HOST}:{self.server.port}"}
        with open(log, "a") as output:
            self.process = subprocess.Popen(
                command,
                shell=True,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def wait_until_ready(self):
        deadline = time.monotonic() + START_SECONDS
        while not self.ready.wait(LOOK_SECONDS):
            if self.process.poll() is not None or time.monotonic() > deadline:
                return False
        return True

    def invoke(self, payload, trace, seconds):
        """The answer, and whether it is an error; `None` if there is none in time."""
        deadline = time.time() + seconds
        headers = [
            ("Content-Type", "application/json"),
            ("Lambda-Runtime-Aws-Request-Id", str(uuid.uuid4())),
            ("Lambda-Runtime-Deadline-Ms", str(int(deadline * 1000))),
            ("Lambda-Runtime-Invoked-Function-Arn", FUNCTION_ARN),
            ("Lambda-Runtime-Trace-Id", trace),
        ]
        self.events.put((payload, headers))
        while time.time() < deadline and self.process.poll() is None:
            with contextlib.suppress(queue.Empty):
                return self.answers.get(timeout=LOOK_SECONDS)
        return None

    def stop(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.server.shutdown()


class Function:
    """The function: as many execution environments as there are events at once."""

    def __init__(self, command, variables, log, seconds):
        self.command, self.variables, self.log, self.seconds = command, variables, log, seconds
        self.idle, self.all, self.stopped = queue.SimpleQueue(), [], False

    def start(self, environments):
        """Has this many environments wait for events, so that no trial measures how long they take
        to start beside each other. Says whether they do."""
        started = [self.environment() for _ in range(environments)]
        for environment in started:
            if environment is not None:
                self.idle.put(environment)
        return None not in started

    def environment(self):
        with starts:
            if self.stopped:
                return None
            environment = Environment(self.command, self.variables, self.log)
            self.all.append(environment)
            return environment if environment.wait_until_ready() else None

    def invoke(self, payload, trace):
        try:
            environment = self.idle.get_nowait()
        except queue.Empty:
            environment = self.environment()
        answer = environment and environment.invoke(payload, trace, self.seconds)
        if answer is None:
            if environment is not None:
                environment.stop()
            return True, json.dumps({"errorType": "Sandbox.Timedout or ended"}).encode()
        self.idle.put(environment)
        return answer

    def stop(self):
        self.stopped = True
        for environment in self.all:
            environment.stop()


@contextlib.contextmanager
def reserved_port():
    """A port that nobody else gets while the block runs, but who asks for it by its number."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind((HOST, 0))
        yield holder.getsockname()[1]


def variables(region_port):
    """What Lambda sets, with credentials that open nothing and the Region as AWS."""
    return os.environ | {
        "AWS_ENDPOINT_URL": f"http://{HOST}:{region_port}",
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "example",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_LAMBDA_FUNCTION_NAME": FUNCTION,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{FUNCTION}",
        "AWS_LAMBDA_LOG_STREAM_NAME": "versus",
        "TZ": ":UTC",
    }


def play(name, instances, args, functions, failures):
    """Plays one trial, and prints its row: what the Region says, or why there is none."""
    log = args.logs / f"{name}.log"
    log.write_text("")
    with reserved_port() as port:
        function = Function(args.peer, variables(port), log, args.timeout / args.speed)
        functions.append(function)
        invoke = Server(InvokeApi, function=function)
        command = [str(TRIAL), name, str(port), str(invoke.port), str(args.speed), args.source]
        command += [str(args.timeout), str(args.heartbeat), args.recursion]
        # As many again as terminate: a drainer that publishes its event again answers after that.
        if function.start(instances + 1):
            run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            row = run.stdout.strip()
            failures += [name] if run.returncode else []
        else:
            row = f"the function does not start: see {log}"
            failures.append(name)
        print(f"{name:20} {row}", flush=True)
        function.stop()


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("peer", help="the command that serves the function")
    parser.add_argument(
        "--signal",
        choices=["termination", "interruption", "both"],
        default="both",
        help="what the function is for (default: both)",
    )
    parser.add_argument(
        "--source",
        choices=["sns", "eventbridge", "sqs", "sqs-single"],
        default="sns",
        help="what invokes it (default: sns)",
    )
    parser.add_argument(
        "--timeout", type=int, default=900, help="the function's time-out in seconds (default: 900)"
    )
    parser.add_argument(
        "--heartbeat", type=int, default=3600, help="the hook's, in seconds (default: 3600)"
    )
    parser.add_argument(
        "--recursion",
        choices=["allow", "terminate"],
        default="allow",
        help="what Lambda does to a loop through SNS (default: allow)",
    )
    parser.add_argument(
        "--speed", type=float, default=1.0, help="how many times as fast as the clock time runs"
    )
    parser.add_argument("--trial", action="append", help="only this one; may be repeated")
    parser.add_argument(
        "--logs",
        type=pathlib.Path,
        default=TARGET / "versus",
        help="the folder for what the function prints (default: target/versus)",
    )
    return parser.parse_args()


def main():
    args = arguments()
    args.logs.mkdir(parents=True, exist_ok=True)
    listed = subprocess.run([str(TRIAL)], stdout=subprocess.PIPE, text=True, check=True)
    head, *lines = listed.stdout.splitlines()
    trials = [
        (name, int(instances))
        for name, trial_signal, instances in map(str.split, lines)
        if args.signal in ("both", trial_signal) and (not args.trial or name in args.trial)
    ]
    functions, failures = [], []
    threads = [
        threading.Thread(target=play, args=(*trial, args, functions, failures), daemon=True)
        for trial in trials
    ]
    local.stop_on_signals()
    # The rows come in the order in which the trials end.
    print(f"{'trial':20} {head}", flush=True)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        # What is left if the end was a signal.
        for function in functions:
            function.stop()
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
