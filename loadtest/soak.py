#!/usr/bin/env python3
"""Keeps a mixed load on ringledger and watches memory, descriptors and errors.

    cargo build --release
    loadtest/soak.py
    loadtest/soak.py --minutes 10 --binary target/release/ringledger

Starts the server with a fresh data directory and four clients: wrk on GET /plaintext and on GET account, wrk with
loadtest/wrk/transfers.lua, and a loop of short connections that open, ask and leave. Every 10 s it prints resident
memory and open descriptors. Exits with 1 if a client saw an error, or if from minute two on memory or descriptors
moved by more than 5 % between the first and the last third of the samples. Needs wrk and curl.
"""

import argparse
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

SAMPLE_S = 10
# Each is a third of what saturates two cores together with the others, so that nothing is refused.
WRK = ["wrk", "-t1", "--timeout", "10s"]


def resident_kib(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def come_and_go(address, until, outcome):
    """Short connections, one request each; notes how many, and the first failure."""
    while time.time() < until:
        try:
            with socket.create_connection(address, timeout=10) as connection:
                connection.sendall(b"GET /json HTTP/1.1\r\nHost: ledger\r\nConnection: close\r\n\r\n")
                if not connection.recv(4096).startswith(b"HTTP/1.1 200"):
                    raise OSError("wrong reply")
            outcome["ok"] += 1
        except OSError as error:
            outcome["errors"].append(str(error))
        time.sleep(0.01)


def start_load(url, account, token, seconds, environment):
    here = os.path.dirname(os.path.abspath(__file__))
    bearer = f"Authorization: Bearer {token}"
    loads = [
        ["-c32", f"{url}/plaintext"],
        ["-c32", "-H", bearer, f"{url}/api/v1/accounts/{account}"],
        ["-c64", "-s", os.path.join(here, "wrk", "transfers.lua"), url],
    ]
    pipe = subprocess.PIPE
    return [
        subprocess.Popen(WRK + [f"-d{seconds}s"] + load, stdout=pipe, text=True, env=environment)
        for load in loads
    ]


def prepare(binary, data, url):
    here = os.path.dirname(os.path.abspath(__file__))
    environment = {**os.environ, "RINGLEDGER": binary, "DATA": data}
    script = [os.path.join(here, "wrk", "prepare.sh"), url, "1000"]
    exports = subprocess.run(script, env=environment, check=True, capture_output=True, text=True).stdout
    variables = dict(pair.split("=", 1) for pair in exports.split()[1:])
    return {**environment, **variables}


def watch(pid, seconds):
    begin, samples = time.time(), []
    while time.time() - begin < seconds:
        time.sleep(SAMPLE_S)
        samples.append((time.time() - begin, resident_kib(pid), descriptors(pid)))
        print("%4.0f s: %6.1f MiB, %d descriptors" % (samples[-1][0], samples[-1][1] / 1024, samples[-1][2]), flush=True)
    return samples


def growth(values):
    third = max(1, len(values) // 3)
    early, late = statistics.median(values[:third]), statistics.median(values[-third:])
    return late / early - 1


def verdict(samples, clients, outcome):
    failed = bool(outcome["errors"])
    print(f"short connections: {outcome['ok']}, errors {len(outcome['errors'])} {outcome['errors'][:1]}")
    for client in clients:
        report = client.communicate()[0]
        wrong = re.findall(r"Socket errors:.*|Non-2xx.*", report)
        rate = re.search(r"Requests/sec: *([\d.]+)", report)
        print(client.args[-1], rate.group(1) if rate else "?", "requests/s", *wrong)
        failed |= bool(wrong) or client.returncode != 0
    settled = [sample for sample in samples if sample[0] > 120] or samples
    for name, column in (("memory", 1), ("descriptors", 2)):
        change = growth([sample[column] for sample in settled])
        print(f"{name}: {change:+.1%} from the first to the last third after minute two")
        failed |= abs(change) > 0.05
    return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--binary", default="target/release/ringledger")
    parser.add_argument("--port", type=int, default=18081)
    arguments = parser.parse_args()
    seconds, url = int(arguments.minutes * 60), f"http://127.0.0.1:{arguments.port}"
    with tempfile.TemporaryDirectory() as data, open(os.path.join(data, "log"), "wb") as log:
        command = [arguments.binary, "--data", data, "serve", "--listen", url.removeprefix("http://")]
        quiet = {**os.environ, "RINGLEDGER__LOG__ACCESS": "errors"}
        server = subprocess.Popen(command + ["--bench-endpoints"], stderr=log, env=quiet)
        try:
            time.sleep(1)
            environment = prepare(arguments.binary, data, url)
            with open(environment["ACCOUNTS"]) as accounts:
                account = accounts.readline().strip()
            clients = start_load(url, account, environment["TOKEN"], seconds, environment)
            outcome = {"ok": 0, "errors": []}
            until = time.time() + seconds
            visitor = threading.Thread(
                target=come_and_go, args=(("127.0.0.1", arguments.port), until, outcome)
            )
            visitor.start()
            samples = watch(server.pid, seconds - SAMPLE_S)
            visitor.join()
            failed = verdict(samples, clients, outcome)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(30)
    sys.exit(failed)


if __name__ == "__main__":
    main()
