#!/usr/bin/env python3
"""Measures how a release binary starts beside a handler in Python, one after the other in turn: the
time from the start of the process to its first answer, and its memory by then.

Usage: scripts/cold_start.py FUNCTION EVENT...

This script plays Lambda's Runtime API, the simulated Region plays AWS over plain HTTP. What real
Lambda adds (a share of a CPU, TLS) is not in these figures: they are for comparing one build with
another on the same machine. The instructions of a start are counted by callgrind, where valgrind is
installed: unlike times, they are the same on a machine that is busy.

The interpreter is $BOTO3_PYTHON, with boto3, or the one of .tools. Stops with an error if a start takes
more than a 25th of the handler's time, or more than a quarter of its memory.
"""

import gzip
import http.server
import os
import pathlib
import re
import shutil
import socket
import statistics
import subprocess
import sys
import threading
import time

import sample_events

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
HANDLER = ROOT / "scripts" / "python_handler.py"
PYTHON = os.environ.get("BOTO3_PYTHON", ROOT / ".tools" / "bin" / "python")
RUNS = 15
# What is claimed in docs/benchmarks.md.
FASTER_AT_LEAST = 25
MEMORY_AT_MOST = 1 / 4
# Callgrind takes some seconds.
TIMEOUT = 60
HOST = "127.0.0.1"
RUNTIME = "/2018-06-01/runtime"


class RuntimeApi(http.server.BaseHTTPRequestHandler):
    """Hands out one event, notes when it is answered, and then keeps the function waiting."""

    protocol_version = "HTTP/1.1"
    event = b"{}"
    handed_out = False
    answered = threading.Event()
    over = threading.Event()

    def do_GET(self):
        kind = type(self)
        if kind.handed_out:
            kind.over.wait()
            self.close_connection = True
            return
        kind.handed_out = True
        self.send_response(200)
        self.send_header("Lambda-Runtime-Aws-Request-Id", "00000000-0000-4000-a000-000000000000")
        self.send_header("Lambda-Runtime-Deadline-Ms", str(int((time.time() + TIMEOUT) * 1000)))
        self.send_header(
            "Lambda-Runtime-Invoked-Function-Arn",
            "arn:aws:lambda:eu-west-1:111122223333:function:f",
        )
        self.send_header("Content-Length", str(len(self.event)))
        self.end_headers()
        self.wfile.write(self.event)

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        type(self).answered.set()
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_):
        """A run ends by killing the function, which breaks its connections."""


def start(command, event, region_port):
    """Starts a function once, and ends it after its first answer.

    Returns the milliseconds to that, its peak memory in MiB by then, and what it printed to its
    standard error output.
    """
    handler = type(
        "OneRun",
        (RuntimeApi,),
        {"event": event, "answered": threading.Event(), "over": threading.Event()},
    )
    with Server((HOST, 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        env = {
            "AWS_LAMBDA_RUNTIME_API": f"{HOST}:{server.server_port}",
            "AWS_LAMBDA_FUNCTION_NAME": "f",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
            "AWS_LAMBDA_FUNCTION_VERSION": "1",
            "AWS_ENDPOINT_URL": f"http://{HOST}:{region_port}",
            "AWS_REGION": "eu-west-1",
            "AWS_DEFAULT_REGION": "eu-west-1",
            "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "example",
            "ECS_CLUSTERS": "shop",
        }
        began = time.perf_counter()
        process = subprocess.Popen(
            command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        if not handler.answered.wait(TIMEOUT):
            process.kill()
            sys.exit(f"{command[-1]} did not answer within {TIMEOUT} s: {process.stderr.read()}")
        took_ms = (time.perf_counter() - began) * 1000
        status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
        peak_kib = int(status.split("VmHWM:")[1].split()[0])
        process.terminate()
        _, errors = process.communicate()
        handler.over.set()
        server.shutdown()
    return took_ms, peak_kib / 1024, errors


def instructions(binary, event, region_port):
    """Counts what one start executes, in millions, to its first answer. `None` without valgrind."""
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        return None
    callgrind = [valgrind, "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    _, _, errors = start([*callgrind, binary], event, region_port)
    return int(re.search(r"Collected : (\d+)", errors)[1]) / 1e6


def row(name, runs):
    """Prints the figures of some runs. Returns the median time and the peak memory."""
    times = [took_ms for took_ms, _, _ in runs]
    median, peak = statistics.median(times), max(peak for _, peak, _ in runs)
    print(f"  {name:<46} {median:>9.1f}  {max(times):>8.1f}  {peak:>8.1f}")
    return median, peak


def compare(binary, event, region_port):
    """Starts both in turn, so that a busy machine slows both. Returns whether the claims hold."""
    payload = sample_events.read_as_of_now(event).encode()
    pairs = [
        (start([binary], payload, region_port), start([PYTHON, HANDLER], payload, region_port))
        for _ in range(RUNS)
    ]
    ours, theirs = zip(*pairs)
    our_ms, our_peak = row(event.stem, ours)
    their_ms, their_peak = row("the same in Python", theirs)
    faster, memory = their_ms / our_ms, our_peak / their_peak
    counted = instructions(binary, payload, region_port)
    counted = "valgrind is not installed" if counted is None else f"{counted:.1f} million instructions"
    print(f"    {faster:.0f} times as fast, {memory:.2f} of the memory; {counted}")
    return faster >= FASTER_AT_LEAST and memory <= MEMORY_AT_MOST


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    binary = TARGET / "release" / sys.argv[1]
    size = binary.stat().st_size
    zipped = len(gzip.compress(binary.read_bytes(), 9))
    print(f"{binary.name}: {size / 1e6:.2f} MB, compressed {zipped / 1e6:.2f} MB")
    print(f"cold start ({RUNS} runs)                           median ms  worst ms  peak MiB")

    with socket.socket() as probe:
        probe.bind((HOST, 0))
        region_port = probe.getsockname()[1]
    options = ["--port", str(region_port), "--lambda", "1"]
    command = [TARGET / "debug" / "ebb-region", "serve", *options]
    region = subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ)
    region.stdout.readline()
    try:
        holds = [compare(binary, event, region_port) for event in map(pathlib.Path, sys.argv[2:])]
    finally:
        region.terminate()
        region.wait()
    if not all(holds):
        sys.exit(f"not {FASTER_AT_LEAST} times as fast, or over {MEMORY_AT_MOST} of the memory")


if __name__ == "__main__":
    main()
