#!/usr/bin/env python3
"""Measures what idle keep-alive connections cost ringledger, and the first request after a rest.

    cargo build --release
    loadtest/idle.py
    loadtest/idle.py --connections 9000 --io epoll --binary target/release/ringledger

Starts the server with one worker on core 0 and a fresh data directory, runs on core 1, opens the connections with one
request each, and prints the resident memory for each connection, second by second. Then it asks on a
sample of the connections, one after the other, which had rested, and a second time in the same order, while they are
awake but as cold in the caches, and prints both latencies in microseconds. Exits with 1 on a wrong reply. Linux,
Python 3.9.
"""

import argparse
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time

REQUEST = b"GET /plaintext HTTP/1.1\r\nHost: ledger\r\n\r\n"
# More than a connection rests before it is parked, and than the allocator takes to give memory back.
SETTLE_S = 6
# So few that all are asked twice before the first of them is parked again.
SAMPLE = 2000
WARM_UP = 2000


def ask(connection):
    """Sends one request and returns how long the reply took, in seconds."""
    begin = time.perf_counter()
    connection.sendall(REQUEST)
    reply = connection.recv(4096)
    elapsed = time.perf_counter() - begin
    if not reply.startswith(b"HTTP/1.1 200"):
        sys.exit(f"wrong reply: {reply[:60]}")
    return elapsed


def connect(address):
    connection = socket.create_connection(address)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def resident_kib(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def quantiles_us(times):
    times = sorted(times)
    return [round(times[int(len(times) * part)] * 1e6) for part in (0.5, 0.9)]


def measure(address, pid, arguments):
    busy = connect(address)
    for _ in range(WARM_UP):
        ask(busy)
    base = resident_kib(pid)
    connections = [connect(address) for _ in range(arguments.connections)]
    for connection in connections:
        ask(connection)
    for second in range(SETTLE_S):
        time.sleep(1)
        each = (resident_kib(pid) - base) * 1024 / len(connections)
        print(f"after {second + 1} s: {each:,.0f} bytes a connection")
    sample = random.sample(connections, min(SAMPLE, len(connections)))
    rested, awake = (quantiles_us([ask(connection) for connection in sample]) for _ in range(2))
    ratios = [after / before for after, before in zip(rested, awake)]
    print(f"after the rest p50 {rested[0]} us, p90 {rested[1]} us; awake p50 {awake[0]} us, p90 {awake[1]} us")
    print(f"ratio p50 {ratios[0]:.2f}, p90 {ratios[1]:.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=9000)
    parser.add_argument("--io", default="uring", choices=["uring", "epoll"])
    parser.add_argument("--binary", default="target/release/ringledger")
    parser.add_argument("--port", type=int, default=18080)
    arguments = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard < arguments.connections + 64:
        sys.exit(f"needs {arguments.connections + 64} open files, the hard limit is {hard} (ulimit -Hn)")
    os.sched_setaffinity(0, {1})
    with tempfile.TemporaryDirectory() as data, open(os.path.join(data, "log"), "wb") as log:
        server = subprocess.Popen(
            [arguments.binary, "--data", data, "serve", "--listen", f"127.0.0.1:{arguments.port}"]
            + ["--workers", "1", "--io", arguments.io, "--bench-endpoints"],
            stderr=log,
            preexec_fn=lambda: os.sched_setaffinity(0, {0}),
        )
        try:
            time.sleep(1)
            measure(("127.0.0.1", arguments.port), server.pid, arguments)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(15)


if __name__ == "__main__":
    main()
