#!/usr/bin/env python3
"""Measures the serving path of ringledger beside servers that do as little as a server can.

    cargo build --release -p ringledger -p floor
    loadtest/wrk/serving.py --scenario plaintext
    loadtest/wrk/serving.py --scenario ping1 --rounds 9 --duration 5 --json ping1.json
    loadtest/wrk/serving.py --scenario pipelined --subjects ringledger,raw-epoll,hyper-epoll --syscalls

Every subject answers GET /plaintext with the same 182 bytes. Each round starts every subject in a fresh process
(ringledger with a fresh data directory) pinned to one core, lets wrk on another core warm it up for a second,
measures, and ends it; the order turns from round to round, so that a drift of the machine hits all alike.

Figures are medians over the rounds with [lowest..highest]; ratios are taken within a round first.
  CPU us      user and system time of the whole process for each request (/proc/PID/stat)
  p50 to p99  what wrk saw, microseconds, corrected by it for what it could not send while it waited;
              not with `pipelined`, where wrk's correction takes batches for requests
  MiB         resident memory right after the measurement
  sys/req     system calls for each request, from a run of its own under strace (--syscalls)
Exits with 1 if a subject gave a wrong reply or wrk counted an error. Needs wrk and taskset; Python 3.9, Linux.
"""

import argparse
import contextlib
import datetime
import json
import os
import platform
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

WARM_UP_S = 1
STRACE_S = 2
# A start takes milliseconds; a drain ends when its connections have, which wrk closed.
START_TIMEOUT_S = 10
STOP_TIMEOUT_S = 15
PIPELINE = Path(__file__).with_name("pipeline.lua")


class Scenario(NamedTuple):
    wrk: list[str]
    """Arguments besides duration and address."""
    meaningless: tuple[str, ...] = ()
    """What wrk tells and is not true here."""


SCENARIOS = {
    "ping1": Scenario(["-c1"]),
    "plaintext": Scenario(["-c64"]),
    "pipelined": Scenario(["-c64", "-s", str(PIPELINE)], meaningless=("p50_us", "p90_us", "p99_us")),
}


class Subject(NamedTuple):
    kind: str
    """Which binary: ringledger or floor."""
    arguments: list[str]
    env: dict[str, str] = {}


SUBJECTS = {
    "ringledger": Subject("ringledger", ["--io", "uring"]),
    "ringledger-spin": Subject(
        "ringledger", ["--io", "uring"], {"RINGLEDGER__RUNTIME__BUSY_POLL": "always"}
    ),
    "ringledger-epoll": Subject("ringledger", ["--io", "epoll"]),
    "raw-epoll": Subject("floor", ["--server", "raw-epoll"]),
    "raw-ring": Subject("floor", ["--server", "raw-ring"]),
    "raw-ring-spin": Subject("floor", ["--server", "raw-ring", "--spin"]),
    "hyper-epoll": Subject("floor", ["--server", "hyper-epoll"]),
}

# key of the JSON -> (heading, format)
METRICS = {
    "requests_per_s": ("requests/s", ",.0f"),
    "cpu_us_per_request": ("CPU us", ".2f"),
    "p50_us": ("p50 us", ",.0f"),
    "p90_us": ("p90 us", ",.0f"),
    "p99_us": ("p99 us", ",.0f"),
    "rss_mib": ("MiB", ".1f"),
    "syscalls_per_request": ("sys/req", ".3f"),
    "errors": ("errors", ",.0f"),
}
NOT_COMPARED = {"errors"}


class Trouble(Exception):
    """What ends the program with a message instead of a traceback."""


# --- a subject's process


@contextlib.contextmanager
def running(name, options):
    """Starts a subject and yields (process, address); ends it by its id, whatever happens."""
    subject = SUBJECTS[name]
    with tempfile.TemporaryDirectory(prefix="serving-") as scratch:
        address = f"127.0.0.1:{free_port()}"
        command = ["taskset", "-c", str(options.server_core), options.binaries[subject.kind]]
        if subject.kind == "ringledger":
            command += ["--data", f"{scratch}/data", "serve", "--workers", "1", "--bench-endpoints"]
        command += ["--listen", address, *subject.arguments]
        with open("/dev/null" if options.log_sink == "null" else f"{scratch}/log", "w+b") as log:
            # taskset becomes the program that it starts, so the id is the server's.
            process = subprocess.Popen(command, env={**os.environ, **subject.env}, stdout=log, stderr=log)
            try:
                wait_until_serving(name, process, address, log)
                yield process, address
            finally:
                end(process)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until_serving(name, process, address, log):
    deadline = time.monotonic() + START_TIMEOUT_S
    while not accepts(address):
        if process.poll() is not None or time.monotonic() > deadline:
            log.seek(0)
            raise Trouble(f"{name} does not serve on {address}:\n{log.read().decode(errors='replace')}")
        time.sleep(0.01)


def accepts(address):
    host, port = address.split(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


def end(process):
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def reply_shape(address):
    """One reply without the values that differ from one to the next, and its length."""
    host, port = address.split(":")
    with socket.create_connection((host, int(port)), timeout=5) as client:
        client.sendall(f"GET /plaintext HTTP/1.1\r\nHost: {address}\r\nConnection: keep-alive\r\n\r\n".encode())
        reply = b""
        while not reply.endswith(b"Hello, World!"):
            piece = client.recv(4096)
            if not piece:
                break
            reply += piece
    text = re.sub(r"(?m)^(x-request-id|date): .*$", r"\1", reply.decode(errors="replace"))
    return len(reply), text


# --- one measurement


def measure(name, options):
    """One round of one subject: a value for each metric."""
    with running(name, options) as (process, address):
        shape = reply_shape(address)
        wrk(address, WARM_UP_S, options)
        cpu_before = cpu_us(process.pid)
        seen = wrk(address, options.duration, options)
        cpu_spent = cpu_us(process.pid) - cpu_before
        seen["cpu_us_per_request"] = cpu_spent / max(1, seen["requests"])
        seen["rss_mib"] = rss_mib(process.pid)
        return shape, seen


def wrk(address, duration_s, options):
    command = ["taskset", "-c", str(options.client_core), "wrk", "-t1", f"-d{duration_s}s", "--latency"]
    command += [*SCENARIOS[options.scenario].wrk, f"http://{address}/plaintext"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise Trouble(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    seen = parse_wrk(done.stdout)
    return {key: value for key, value in seen.items() if key not in SCENARIOS[options.scenario].meaningless}


def parse_wrk(text):
    def find(pattern):
        found = re.search(pattern, text)
        if found is None:
            raise Trouble(f"wrk said nothing like {pattern!r}:\n{text}")
        return found

    socket_errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    bad_replies = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    errors = [*(socket_errors.groups() if socket_errors else ()), *(bad_replies.groups() if bad_replies else ())]
    seen = {"errors": sum(map(int, errors)), "requests": int(find(r"(\d+) requests in").group(1))}
    seen["requests_per_s"] = float(find(r"Requests/sec:\s+([\d.]+)").group(1))
    if seen["requests"] == 0:
        raise Trouble(f"no reply came while wrk measured: did the server or the machine stand still?\n{text}")
    for percent in (50, 90, 99):
        amount, unit = find(rf"\n\s+{percent}%\s+([\d.]+)(us|ms|s)\b").groups()
        seen[f"p{percent}_us"] = float(amount) * {"us": 1, "ms": 1e3, "s": 1e6}[unit]
    return seen


def cpu_us(pid):
    """User and system time of all threads so far (proc_pid_stat(5), fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1e6 / os.sysconf("SC_CLK_TCK")


def rss_mib(pid):
    return int(re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text()).group(1)) / 1024


def syscalls_per_request(name, options):
    """System calls of all threads for each request. Counting slows the subject down, so that its batches may
    differ a little from those of the other figures."""
    with running(name, options) as (process, address), tempfile.NamedTemporaryFile("r") as counts:
        wrk(address, WARM_UP_S, options)
        strace = subprocess.Popen(
            ["strace", "-c", "-f", "-o", counts.name, "-p", str(process.pid)],
            stderr=subprocess.PIPE, text=True,
        )
        # "strace: Process 1 attached"; whatever else it says is in the way.
        said = strace.stderr.readline()
        if "attached" not in said:
            strace.wait()
            raise Trouble(said.strip())
        requests = wrk(address, STRACE_S, options)["requests"]
        strace.send_signal(signal.SIGINT)
        strace.communicate()
        return total_calls(counts.read()) / max(1, requests)


def total_calls(summary):
    """The calls of strace's summary: the fourth column of the row called total."""
    rows = [line.split() for line in summary.splitlines()]
    return sum(int(row[3]) for row in rows if row[-1:] == ["total"])


# --- all rounds


def run_rounds(options):
    """name -> metric -> a value for each round."""
    values = {name: {} for name in options.subjects}
    shapes = {}
    for number in range(options.rounds):
        turn = number % len(options.subjects)
        for name in options.subjects[turn:] + options.subjects[:turn]:
            shapes[name], seen = measure(name, options)
            note(f"round {number + 1}/{options.rounds} {name}: {seen['requests_per_s']:,.0f}/s")
            for metric in METRICS.keys() & seen.keys():
                values[name].setdefault(metric, []).append(seen[metric])
    if options.syscalls:
        for name in options.subjects:
            note(f"system calls of {name}")
            values[name]["syscalls_per_request"] = [syscalls_per_request(name, options)]
    require_same_replies(shapes)
    return values


def require_same_replies(shapes):
    first, *others = shapes
    for name in others:
        if shapes[name] != shapes[first]:
            raise Trouble(f"{name} does not reply as {first} does:\n{shapes[name]}\n{shapes[first]}")


def note(text):
    print(text, file=sys.stderr, flush=True)


def spread(values):
    return {"median": statistics.median(values), "lo": min(values), "hi": max(values)}


def ratios(values, base):
    """'NAME/BASE' -> metric -> spread of the ratios within each round; without those to nothing."""
    if base not in values:
        return {}
    return {
        f"{name}/{base}": {
            metric: spread([mine / theirs for mine, theirs in zip(own, values[base][metric])])
            for metric, own in metrics.items()
            if metric not in NOT_COMPARED and all(values[base][metric])
        }
        for name, metrics in values.items()
        if name != base
    }


# --- what is shown


def report(values, options):
    return {
        "scenario": options.scenario,
        "rounds": options.rounds,
        "duration_s": options.duration,
        "environment": environment(options),
        "subjects": {
            name: {metric: spread(own) for metric, own in metrics.items()} for name, metrics in values.items()
        },
        "ratios": ratios(values, options.base),
    }


def environment(options):
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return {
        "at": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "kernel": platform.release(),
        "cpu": model.group(1) if model else platform.machine(),
        "cpus": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "log_sink": options.log_sink,
        "binaries": options.binaries,
    }


def show(result, base):
    print(f"\n{result['scenario']}: {result['rounds']} rounds of {result['duration_s']} s, median [lowest..highest]")
    show_table(result["subjects"], {metric: style for metric, (_, style) in METRICS.items()})
    if result["ratios"]:
        print(f"\nratios to {base}")
        show_table(result["ratios"], {metric: ".2f" for metric in METRICS if metric not in NOT_COMPARED})


def show_table(rows, styles):
    shown = [metric for metric in styles if any(metric in row for row in rows.values())]
    table = [["", *(METRICS[metric][0] for metric in shown)]]
    table += [[name, *(cell(row.get(metric), styles[metric]) for metric in shown)] for name, row in rows.items()]
    widths = [max(map(len, column)) for column in zip(*table)]
    for first, *others in table:
        print(first.ljust(widths[0]), *(text.rjust(width) for text, width in zip(others, widths[1:])), sep="  ")


def cell(value, style):
    if value is None:
        return "-"
    lo, median, hi = (format(value[key], style) for key in ("lo", "median", "hi"))
    return median if lo == hi else f"{median} [{lo}..{hi}]"


# --- the command line


def parse_options():
    summary, _, details = __doc__.partition("\n")
    parser = argparse.ArgumentParser(
        description=summary, epilog=details, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenario", choices=SCENARIOS, required=True,
                        help="1 connection; 64 connections; 64 connections, 16 requests deep")
    parser.add_argument("--subjects", type=lambda text: text.split(","), default=list(SUBJECTS), metavar="A,B",
                        help=f"default: {','.join(SUBJECTS)}")
    parser.add_argument("--base", default="raw-epoll", metavar="NAME", help="what ratios are taken to (raw-epoll)")
    parser.add_argument("--rounds", type=positive, default=5)
    parser.add_argument("--duration", type=positive, default=5, metavar="S", help="seconds of each measurement")
    parser.add_argument("--syscalls", action="store_true", help="count system calls, too (strace)")
    parser.add_argument("--json", metavar="FILE", help="write the result there, too")
    parser.add_argument("--log-sink", choices=["file", "null"], default="file",
                        help="where a server's log goes: a file as an operator's would, or /dev/null")
    parser.add_argument("--ringledger", default="target/release/ringledger", metavar="BINARY")
    parser.add_argument("--floor", default="target/release/floor", metavar="BINARY")
    parser.add_argument("--server-core", type=int, default=0, metavar="N")
    parser.add_argument("--client-core", type=int, default=1, metavar="N")
    options = parser.parse_args()
    options.binaries = {"ringledger": options.ringledger, "floor": options.floor}
    return options


def positive(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def check(options):
    """Says what is missing before anything is started."""
    unknown = [name for name in options.subjects if name not in SUBJECTS]
    if unknown:
        raise Trouble(f"no such subject: {', '.join(unknown)}; there are {', '.join(SUBJECTS)}")
    if options.base not in options.subjects:
        note(f"{options.base} is not among the subjects, so there are no ratios")
    for program in ["wrk", "taskset", *(["strace"] if options.syscalls else [])]:
        if shutil.which(program) is None:
            package = {"taskset": "util-linux"}.get(program, program)
            raise Trouble(f"{program} is not installed: apt-get install {package}")
    for kind in sorted({SUBJECTS[name].kind for name in options.subjects}):
        if not os.access(options.binaries[kind], os.X_OK):
            raise Trouble(f"no program {options.binaries[kind]}: cargo build --release -p {kind}, or give --{kind}")
    cores = os.sched_getaffinity(0)
    if not {options.server_core, options.client_core} <= cores:
        raise Trouble(f"server and client need cores of their own, and this process may use {sorted(cores)} only")


def main():
    options = parse_options()
    try:
        check(options)
        result = report(run_rounds(options), options)
    except Trouble as trouble:
        sys.exit(f"serving.py: {trouble}")
    show(result, options.base)
    if options.json:
        Path(options.json).write_text(json.dumps(result, indent=2) + "\n")
    failed = [name for name, metrics in result["subjects"].items() if metrics["errors"]["hi"]]
    if failed:
        sys.exit(f"serving.py: wrk counted errors of {', '.join(failed)}")


if __name__ == "__main__":
    main()
