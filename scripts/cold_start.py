#!/usr/bin/env python3
"""Measures how a release binary starts: the time from the start of its process to its first answer,
and its memory by then.

Usage: scripts/cold_start.py FUNCTION EVENT...

This script plays Lambda's Runtime API, the simulated Region plays AWS over plain HTTP. What real
Lambda adds (a share of a CPU, TLS) is not in these figures: they are for comparing one build with
another on the same machine.
"""

import gzip
import http.server
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import threading
import time

import sample_events

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
RUNS = 15
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
        self.send_header("Lambda-Runtime-Deadline-Ms", str(int((time.time() + 30) * 1000)))
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


def start(binary, event, region_port):
    """Starts the binary once.

    Returns the milliseconds to its first answer and its peak memory in MiB.
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
            "AWS_LAMBDA_FUNCTION_NAME": binary.name,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
            "AWS_LAMBDA_FUNCTION_VERSION": "1",
            "AWS_ENDPOINT_URL": f"http://{HOST}:{region_port}",
            "AWS_REGION": "eu-west-1",
            "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "example",
            "ECS_CLUSTERS": "shop",
        }
        began = time.perf_counter()
        process = subprocess.Popen(
            [binary], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        if not handler.answered.wait(30):
            sys.exit(f"{binary.name} did not answer within 30 s")
        took_ms = (time.perf_counter() - began) * 1000
        status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
        peak_kib = int(status.split("VmHWM:")[1].split()[0])
        process.kill()
        process.wait()
        handler.over.set()
        server.shutdown()
    return took_ms, peak_kib / 1024


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
        for event in map(pathlib.Path, sys.argv[2:]):
            payload = sample_events.read_as_of_now(event).encode()
            runs = [start(binary, payload, region_port) for _ in range(RUNS)]
            times = [took_ms for took_ms, _ in runs]
            peak = max(peak for _, peak in runs)
            median = statistics.median(times)
            print(f"  {event.stem:<46} {median:>9.1f}  {max(times):>8.1f}  {peak:>8.1f}")
    finally:
        region.terminate()
        region.wait()


if __name__ == "__main__":
    main()
