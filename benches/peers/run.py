#!/usr/bin/env python3
"""Measures load tools side by side: N clients connect with a token, are closed at one moment, and come back.

Each tool does the same against a `resurge serve` of its own: every client fetches a token, connects with it, holds the
connection, is closed with 1001 at one moment, fetches a token, and connects again at once. Two seconds after everybody is back the tool
is told to end (SIGTERM). For each tool this reports

- the CPU time of all its processes (user and system), in seconds;
- its peak memory: the sum of its processes' highest resident sets, in MiB;
- the clients that were back, and the moments at which 50, 99 and 100 % of them were, counted by the service, every 20 ms.

CPU time does not depend much on what else the machine does; the moments do. Programs are not installed here: a tool that
is not found is left out, and the table says so. Linux only; every wait is bounded.

    python3 benches/peers/run.py --resurge target/release/resurge --clients 5000 --rounds 5
"""

import argparse
import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
MARK = "RESURGE_PEERS_MARK"
TICKS = os.sysconf("SC_CLK_TCK")
# The longest that a tool may take to connect everybody, or to bring everybody back.
PATIENCE_S = 240


def scenario(port, clients, ramp_s, hold_s):
    """The scenario for resurge itself: the same population against a target that it does not own."""
    return f"""
name = "peers"
duration = "{ramp_s + hold_s}s"
[target]
kind = "remote"
url = "ws://127.0.0.1:{port}/api/v2/analytics/events"
token_url = "http://127.0.0.1:{port}/oauth/token"
[[groups]]
name = "clients"
clients = {clients}
start = {{ over = "{ramp_s}s" }}
[groups.token]
client_id = "demo-client"
client_secret = "demo-secret"
on_reconnect = "fetch"
[groups.reconnect]
backoff = {{ kind = "none" }}
"""


def peers(arguments):
    """The command of each tool that is there, and the version that it names; None for what is not found."""
    node, python, k6 = shutil.which("node"), arguments.python, shutil.which(arguments.k6)
    modules = pathlib.Path(arguments.node_modules)
    artillery = modules / "artillery" / "bin" / "run"
    tsung = shutil.which("tsung")
    has_locust = python and subprocess.run([python, "-c", "import locust, websocket"], capture_output=True).returncode == 0

    def package(name):
        return json.loads((modules / name / "package.json").read_text())["version"]

    return {
        "resurge": (lambda folder: [arguments.resurge, "run", str(folder / "peers.toml"), "--out", str(folder / "run"),
                                    "--progress", "none"], arguments.resurge),
        "node-ws": (lambda folder: [node, str(HERE / "node_ws.js")],
                    f"ws {package('ws')}" if node and (modules / "ws").is_dir() else None),
        "k6": (lambda folder: [k6, "run", "--quiet", "--no-usage-report", "--no-color", str(HERE / "k6.js")], k6),
        "artillery": (lambda folder: [node, str(artillery), "run", "--quiet", str(folder / "artillery.yml")],
                      f"artillery {package('artillery')}" if node and artillery.exists() else None),
        "locust": (lambda folder: [python, "-m", "locust", "-f", str(HERE / "locustfile.py"), "--headless",
                                   "--only-summary", "--skip-log-setup"], python if has_locust else None),
        "tsung": (lambda folder: [tsung, "-f", str(folder / "tsung.xml"), "-l", str(folder / "log"), "start"], tsung),
    }


class Usage:
    """CPU and memory of every process that carries a mark in its environment, sampled until `stop`."""

    def __init__(self, mark):
        self.wanted = f"{MARK}={mark}".encode()
        self.known = {}
        self.strangers = set()
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.follow, daemon=True)
        self.thread.start()

    def follow(self):
        while not self.over.wait(0.2):
            self.sample()

    def sample(self):
        for entry in os.listdir("/proc"):
            if not entry.isdigit() or entry in self.strangers:
                continue
            try:
                if entry not in self.known:
                    with open(f"/proc/{entry}/environ", "rb") as file:
                        if self.wanted not in file.read().split(b"\0"):
                            self.strangers.add(entry)
                            continue
                with open(f"/proc/{entry}/stat") as file:
                    fields = file.read().rsplit(")", 1)[1].split()
                with open(f"/proc/{entry}/status") as file:
                    peak = next((int(line.split()[1]) for line in file if line.startswith("VmHWM:")), 0)
            except (OSError, IndexError):
                continue
            cpu = (int(fields[11]) + int(fields[12])) / TICKS
            before = self.known.get(entry, (0, 0))
            self.known[entry] = (max(cpu, before[0]), max(peak, before[1]))

    def stop(self):
        """Seconds of CPU, MiB of memory."""
        self.over.set()
        self.thread.join()
        return sum(cpu for cpu, _ in self.known.values()), sum(peak for _, peak in self.known.values()) / 1024


def counters(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/_resurge/counters", timeout=10) as answer:
        return json.load(answer)


def storm(port):
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/_resurge/close",
        data=json.dumps({"code": 1001, "fraction": 1.0}).encode(),
        headers={"Content-Type": "application/json"},
    )
    urllib.request.urlopen(request, timeout=30).read()


def wait_for(port, upgrades, process):
    """Waits until the service has admitted so many handshakes in all; returns the times at which it had seen each count."""
    seen = []
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        count = counters(port)["upgrades"]
        seen.append((time.monotonic(), count))
        if count >= upgrades or process.poll() is not None:
            break
        time.sleep(0.02)
    return seen


def measure(tool, command, arguments):
    """One round of one tool: what it took, and how its clients came back."""
    clients = arguments.clients
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        serve = subprocess.Popen(
            [arguments.resurge, "serve", "forum", "--listen", "127.0.0.1:0", "--set", "idle_timeout=10m"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        process = None
        usage = None
        try:
            port = int(serve.stdout.readline().rsplit(":", 1)[1])
            ramp_s, hold_s = max(clients // 250, 1), arguments.hold
            (folder / "peers.toml").write_text(scenario(port, clients, ramp_s, hold_s))
            script = (HERE / "artillery.yml").read_text().replace("PORT", str(port))
            script = script.replace("CLIENTS", str(clients)).replace("RAMP", str(ramp_s))
            (folder / "artillery.yml").write_text(script.replace("PROCESSOR", str(HERE / "artillery.js")))
            if shutil.which("tsung"):
                dtd = pathlib.Path(shutil.which("tsung")).resolve().parents[1] / "share" / "tsung" / "tsung-1.0.dtd"
                script = (HERE / "tsung.xml").read_text().replace("DTD", str(dtd)).replace("PORT", str(port))
                (folder / "tsung.xml").write_text(script.replace("RAMP", str(2 * ramp_s)).replace("CLIENTS", str(clients)))
            mark = f"{tool}-{port}"
            environment = dict(
                os.environ, **{MARK: mark}, PEERS_PORT=str(port), PEERS_CLIENTS=str(clients), PEERS_RAMP_S=str(ramp_s),
                PEERS_HOLD_S=str(hold_s), NODE_PATH=str(pathlib.Path(arguments.node_modules).resolve()),
                ARTILLERY_DISABLE_TELEMETRY="true", K6_NO_USAGE_REPORT="true", NO_COLOR="1")
            if tool == "tsung":
                # It keeps a folder of its own there.
                environment["HOME"] = str(folder)
            usage = Usage(mark)
            log = open(folder / "output", "w+")
            process = subprocess.Popen(command(folder), env=environment, cwd=folder, stdout=log, stderr=subprocess.STDOUT,
                                       start_new_session=True)
            in_first = wait_for(port, clients, process)[-1][1]
            time.sleep(1)
            before = counters(port)["upgrades"]
            began = time.monotonic()
            storm(port)
            seen = wait_for(port, before + clients, process)
            back = seen[-1][1] - before
            moments = {}
            for share in (0.5, 0.99, 1.0):
                wanted = before + clients * share
                moment = next((at for at, count in seen if count >= wanted), None)
                moments[share] = None if moment is None else (moment - began) * 1000
            # Everybody is back, or will not be: the tool ends, and reports what it has.
            time.sleep(2)
            if tool == "tsung":
                # Its command is a shell that starts what does the work.
                os.killpg(process.pid, signal.SIGTERM)
            else:
                process.terminate()
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                print(f"# {tool} did not end within 60 s", file=sys.stderr)
            log.seek(0)
            output = log.read()
            usage.sample()
            cpu, memory = usage.stop()
            if arguments.verbose or back < clients:
                print(f"# {tool}: first {in_first}, back {back}\n{output[-1500:]}", file=sys.stderr)
            return {"cpu_s": cpu, "memory_mib": memory, "back": back, "moments_ms": moments}
        finally:
            for running in (process, serve):
                if running is not None and running.poll() is None:
                    if running is process:
                        os.killpg(running.pid, signal.SIGKILL)
                    else:
                        running.terminate()
                    running.wait(timeout=10)


def middle(values):
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None


def shown(value, unit):
    return "-" if value is None else f"{value:,.1f} {unit}" if value < 10 else f"{value:,.0f} {unit}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--resurge", default="target/release/resurge", help="the program")
    parser.add_argument("--clients", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--hold", type=int, default=300, help="the longest that a run lasts, beside its ramp, in seconds")
    parser.add_argument("--node-modules", default="node_modules", help="where npm installed artillery and ws")
    parser.add_argument("--python", default=sys.executable, help="a Python that has locust and websocket-client")
    parser.add_argument("--k6", default="k6", help="the program k6")
    parser.add_argument("--only", help="names of tools, with commas")
    parser.add_argument("--json", help="a file for every round's numbers")
    parser.add_argument("--verbose", action="store_true", help="what the tools print")
    arguments = parser.parse_args()
    arguments.resurge = str(pathlib.Path(arguments.resurge).resolve())
    there = peers(arguments)
    wanted = arguments.only.split(",") if arguments.only else list(there)
    rounds = {tool: [] for tool in wanted}
    for number in range(arguments.rounds):
        for tool in wanted:
            command, version = there[tool]
            if version is None:
                continue
            result = measure(tool, command, arguments)
            rounds[tool].append(result)
            print(f"# round {number + 1}, {tool}: {result}", file=sys.stderr)
            if arguments.json:
                pathlib.Path(arguments.json).write_text(json.dumps(rounds, indent=1))
    print(f"{arguments.clients:,} clients, 2 connections each; medians of {arguments.rounds} rounds")
    print("| tool | CPU (user + system) | peak memory | back | 50 % back | 99 % back | all back |")
    print("|---|---|---|---|---|---|---|")
    for tool, results in rounds.items():
        if not results:
            print(f"| {tool} | not found | | | | | |")
            continue
        moments = [middle([result["moments_ms"][share] for result in results]) for share in (0.5, 0.99, 1.0)]
        cells = [
            tool, shown(middle([result["cpu_s"] for result in results]), "s"),
            shown(middle([result["memory_mib"] for result in results]), "MiB"),
            f"{middle([result['back'] for result in results]):,.0f}",
            *[shown(moment, "ms") for moment in moments],
        ]
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
