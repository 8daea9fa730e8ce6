"""Programs that a check starts and ends, by their own handles."""

import contextlib
import json
import os
import random
import re
import socket
import subprocess
import threading
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
RESURGE = str(Path(os.environ.get("RESURGE_BIN", ROOT / "target/release/resurge")).resolve())
# Where `npm ci` put what the checks need.
NODE_HOME = Path(os.environ.get("INTEROP_NODE", ROOT / "target/interop-node"))
LONGEST = 60
# For runs of which what was counted is held, and not how long it took: the machine may be busy.
UNTIMED = """
[health]
max_lag_p99 = "10s"
max_stall = "10s"
max_delay = "10s"
max_delay_share = 1.0
max_saturated_share = 1.0
"""
# The same for a scenario that is shipped, as arguments.
UNTIMED_SETS = [word for line in UNTIMED.splitlines() if "=" in line for word in ("--set", "health." + re.sub("[ \"]", "", line))]


@contextlib.contextmanager
def started(command, **options):
    """A program that runs while the block does; answers with its handle. Its stdout is a pipe."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
        process.stdout.close()


@contextlib.contextmanager
def target(profile, seed=None, **rules):
    """`resurge serve` with these rules; answers with its address. Two of one seed issue the same tokens."""
    command = [RESURGE, "serve", profile, "--listen", "127.0.0.1:0", "--threads", "1"]
    command += ["--seed", str(seed)] if seed else []
    for key, value in rules.items():
        command += ["--set", f"{key}={value}"]
    with started(command, stderr=subprocess.DEVNULL) as process:
        yield process.stdout.readline().strip().removeprefix("listening on http://")


def free_port():
    """A port that nobody listens on, and that no connection of others is given meanwhile: the system's own begin at 32768."""
    for port in random.sample(range(20_000, 32_768), 100):
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free")


def counters(address):
    """The target's own counters."""
    with urllib.request.urlopen(f"http://{address}/_resurge/counters", timeout=10) as answer:
        return json.load(answer)


def closes_of(counted):
    """Closes by code, of the target's counters."""
    closes = {}
    for close in counted["closes"]:
        closes[str(close["code"])] = closes.get(str(close["code"]), 0) + close["count"]
    return closes


def refused_of(counted):
    """Refused handshakes, of the target's counters."""
    return sum(refused["count"] for refused in counted["refused"])


def node(script, *arguments):
    """The command of a Node script of ours, next to the packages that it needs."""
    home = NODE_HOME / script
    # At once, for several checks may run the same script.
    copy = home.with_name(f"{script}.{threading.get_ident()}")
    copy.write_text((HERE / "node" / script).read_text())
    copy.replace(home)
    return ["node", str(home), *map(str, arguments)]


def unwrapped(summary):
    """A summary, each sentence on one line."""
    return summary.replace("\n    ", " ")


def end_and_read(process):
    """Ends a service; answers with what it counted."""
    process.terminate()
    out, _ = process.communicate(timeout=20)
    return json.loads(out.strip().splitlines()[-1])
