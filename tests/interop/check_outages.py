"""Ways to fall: the scenarios of `scenarios/falls` against services that we did not write, which the scenarios themselves make fall.

nginx and haproxy are reloaded, Python's `websockets` is restarted by SIGTERM, alone and three of them one after the other behind nginx; a service is
killed, a balancer falls silent, a certificate is rotated, a name moves. What `outages.csv` says is what the services' own logs say: each session that was
lost, none beside, and when the first and the last was, within 100 ms.
"""

import collections
import contextlib
import csv
import dataclasses
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import tomllib
from pathlib import Path

from processes import RESURGE, ROOT, UNTIMED, started

FALLS = ROOT / "scenarios" / "falls"
LONGEST = 90
# Both see the same moment.
NEAR_S = 0.1
# A rig has so many ports.
PORTS = 20

taken = set()
taking = threading.Lock()


def free_ports():
    """The first of as many ports as a rig has, which nobody listens on and no other check of ours is given."""
    with taking:
        for first in random.sample(range(20_000, 32_700, PORTS), 200):
            with contextlib.ExitStack() as held, contextlib.suppress(OSError):
                for port in range(first, first + PORTS):
                    held.enter_context(socket.create_server(("", port)))
                if first not in taken:
                    taken.add(first)
                    return first
    raise AssertionError("no ports are free")


def settings(values, before=""):
    """Tables as arguments of `--set`."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from settings(value, f"{before}{key}.")
        else:
            yield from ("--set", f"{before}{key}={value}")


@dataclasses.dataclass
class Outage:
    """A row of outages.csv."""

    name: str
    group: str
    first: float
    last: float
    lost: int
    at_risk: int
    back: int
    ends: dict

    @staticmethod
    def read(row, start):
        """Moments are in Unix time, as in the services' logs."""
        ends = dict(end.rsplit(" × ", 1) for end in row["ends"].split("; "))
        return Outage(
            name=row["name"],
            group=row["group"],
            first=start + int(row["first_lost_us"]) / 1e6,
            last=start + int(row["last_lost_us"]) / 1e6,
            lost=int(row["lost"]),
            at_risk=int(row["at_risk"]),
            back=int(row["back"]),
            ends={end: int(count.replace(",", "")) for end, count in ends.items()},
        )


class Fall:
    """A scenario that was run against its rig: what both say of it."""

    def __init__(self, name, sets, rig=(), up=None, code=0):
        with tempfile.TemporaryDirectory() as home:
            home, port = Path(home), free_ports()
            here = home / "scenarios" / "falls"
            shutil.copytree(FALLS, here, ignore=shutil.ignore_patterns("rig", "__pycache__"))
            command = [sys.executable, "scenarios/falls/rig.py", "up", up or name, "--port", str(port), *rig]
            with started(command, cwd=home) as serving:
                assert "is up" in serving.stdout.readline(), "the rig does not come up"
                self.run(home, here / f"{name}.toml", port, sets, code)
            self.read(home / "run", here / "rig")

    def run(self, home, scenario, port, sets, code):
        """Runs the scenario, as told in it, but shorter."""
        command = [RESURGE, "run", str(scenario), "--allow-commands", "--out", str(home / "run"), "--progress", "none"]
        text = scenario.read_text()
        url = tomllib.loads(text)["target"]["url"].replace("9700", str(port))
        places = {"target.url": url, "target.token_url": f"http://127.0.0.1:{port + 1}/"}
        if "resolver" in text:
            places["groups.0.connect.resolver"] = f"127.0.0.1:{port + 2}"
        command += settings({**places, **tomllib.loads(UNTIMED), **sets})
        environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
        done = subprocess.run(command, cwd=home, capture_output=True, text=True, timeout=LONGEST, env=environment)
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)

    def read(self, folder, rig):
        """Takes what both have written."""
        run = json.loads((folder / "run.json").read_text())
        assert run["accounting"]["closes"], run["accounting"]
        self.start = run["start_unix_us"] / 1e6
        # What ends from then on, the run ends.
        self.end = self.start + run["scenario"]["duration_s"]
        self.marks = {mark["name"]: self.start + mark["at_us"] / 1e6 for mark in run["marks"]}
        self.done = {mark["name"]: self.start + mark["until_us"] / 1e6 for mark in run["marks"]}
        outages = [Outage.read(row, self.start) for row in table(folder, "outages.csv")]
        groups = {row["group"] for row in table(folder, "closes.csv")}
        self.outages = [outage for outage in outages if outage.group == "all" or len(groups) == 1]
        self.outcomes = table(folder, "outcomes.csv")
        self.seconds = table(folder, "timeseries.csv")
        self.closes = collections.Counter()
        for row in table(folder, "closes.csv"):
            how = f" ({row['how']})" if row["how"] else ""
            self.closes[row["group"], f"{row['initiator']} {row['code']}{how}"] += int(row["count"])
        self.services = [json.loads(line) for log in rig.glob("service-*.log") for line in log.read_text().splitlines()]
        self.logs = {log.stem: [line.split() for line in log.read_text().splitlines()] for log in rig.glob("*.log")}

    def said(self, what, **more):
        """When a service has logged that."""
        lines = (line for line in self.services if line["what"] == what)
        return sorted(line["time"] for line in lines if all(line[key] == value for key, value in more.items()))

    def ended_by(self, balancer, unit=1):
        """When a balancer has logged sessions' ends, and to which service they went, before the run has ended the rest."""
        lines = (line for line in self.logs[balancer] if line[1:2] == ["101"])
        ends = ((float(line[0]) / unit, line[-1]) for line in lines)
        return sorted((moment, service) for moment, service in ends if moment < self.end)


def table(folder, name):
    """The rows of a CSV file."""
    with open(folder / name, newline="") as file:
        return list(csv.DictReader(file))


def check_losses(fall, moments, count, later=()):
    """There are that many outages, and what was lost in them is what the service has logged at these moments: or up to when the service behind it has,
    for a balancer's log has the time at which it began with all of them."""
    assert len(fall.outages) == count, (fall.outages, moments)
    assert sum(outage.lost for outage in fall.outages) == len(moments), (fall.outages, moments)
    before = 0
    for outage in fall.outages:
        own = slice(before, before + outage.lost)
        logged, heard = moments[own], (later or moments)[own]
        assert sum(outage.ends.values()) == outage.lost, outage
        assert abs(logged[0] - outage.first) <= NEAR_S, (outage, logged[0])
        assert logged[-1] - NEAR_S <= outage.last <= heard[-1] + NEAR_S, (outage, logged[-1], heard[-1])
        before += outage.lost


def check_all_back(fall):
    """Whoever was lost was back before the run's end."""
    assert all(outage.back == outage.lost for outage in fall.outages), fall.outages


# Few enough that a balancer is done with them at once.
FEW = 100
QUICK = {"groups.0.clients": str(FEW), "groups.0.start": '{ over = "1s" }', "groups.0.reconnect.backoff.max": "2s"}


def check_nginx_reload():
    """`nginx -s reload`: all sessions are cut off when the old workers' 3 s are over."""
    fall = Fall("balancer-reload", {**QUICK, "duration": "11s", "events.0.at": "3s"})
    moments, later = [moment for moment, _ in fall.ended_by("nginx")], fall.said("over", code=1006)
    assert len(moments) == len(later) == FEW, (moments, later)
    check_losses(fall, moments, 1, later)
    check_all_back(fall)
    assert fall.outages[0].name == "reload" and fall.outages[0].ends == {"network 1006 (fin)": FEW}, fall.outages


def check_haproxy_reload():
    """haproxy's `-sf` with `hard-stop-after 3s`."""
    command = '["python3", "scenarios/falls/rig.py", "haproxy"]'
    sets = {**QUICK, "duration": "11s", "events.0.at": "3s", "events.0.command": command}
    fall = Fall("balancer-reload", sets, up="balancer-reload-haproxy")
    moments, later = [moment for moment, _ in fall.ended_by("haproxy", unit=1000)], fall.said("over", code=1006)
    assert len(moments) == len(later) == FEW, (moments, later)
    check_losses(fall, moments, 1, later)
    check_all_back(fall)
    assert fall.outages[0].name == "reload" and fall.outages[0].ends == {"network 1006 (fin)": FEW}, fall.outages


def check_service_restart():
    """SIGTERM to Python's `websockets`, which is started again."""
    fall = Fall("service-restart", {**QUICK, "duration": "11s", "events.0.at": "3s"})
    moments = fall.said("closing", code=1001)
    assert len(moments) == FEW and len(fall.said("up")) == 2, fall.services
    check_losses(fall, moments, 1)
    check_all_back(fall)
    assert fall.outages[0].name == "restart" and fall.outages[0].ends == {"target 1001": FEW}, fall.outages
    assert len(fall.said("opened")) == 2 * FEW, fall.services


def check_rolling_restart():
    """Three of them behind nginx, one after the other: who has come back from one may be lost with the next."""
    command = '["python3", "scenarios/falls/rig.py", "roll", "--pause", "3"]'
    sets = {**QUICK, "duration": "18s", "events.0.at": "3s", "events.0.command": command, "groups.0.clients": "150"}
    sets |= {"thresholds.outages": "count == 3", "thresholds.availability": "rate > 90%"}
    fall = Fall("rolling-restart", sets, rig=["--services", "3", "--restart-after", "0.5"])
    moments = fall.said("closing", code=1001)
    assert len(moments) > 150 and len(fall.said("up")) == 6, fall.services
    check_losses(fall, moments, 3)
    check_all_back(fall)
    assert {outage.name for outage in fall.outages} == {"rolling restart"}, fall.outages
    assert {end for outage in fall.outages for end in outage.ends} == {"target 1001"}, fall.outages


def check_backend_dies():
    """One of three services behind nginx is killed: its sessions are lost, and no other."""
    # As few as that: nginx's log has the moment at which it began with all of them.
    fall = Fall("backend-dies", {**QUICK, "duration": "8s", "events.0.at": "3s", "groups.0.clients": "120"})
    ends = fall.ended_by("nginx")
    assert len({service for _, service in ends}) == 1, ends
    check_losses(fall, [moment for moment, _ in ends], 1)
    check_all_back(fall)
    outage = fall.outages[0]
    assert 35 <= outage.lost <= 45 and outage.at_risk == 120 and outage.name == "one service dies", outage
    assert outage.ends == {"network 1006 (fin)": outage.lost}, outage


# Keep-alives, of a fleet that has come in over several of them: who came in within one falls silent at one age, as by an idle timeout.
PINGS = {"groups.0.start": '{ over = "4s" }', "groups.0.session.keep_alive": {"ping_every": "1s", "timeout": "500ms"}}


def check_silence(fall, name, count):
    """Each of so many was lost when it was last heard of: the last of them at the moment of the silence. They noticed by their keep-alive."""
    assert len(fall.outages) == 1, fall.outages
    outage, silent = fall.outages[0], fall.marks[name]
    assert outage.name == name and outage.ends == {"network 1006 (timeout)": count} and outage.back == count, outage
    assert silent - 1 - NEAR_S <= outage.first and abs(outage.last - silent) <= NEAR_S, (outage, silent)
    noticed = {int(row["second"]) for row in fall.seconds if row["disconnects"] != "0"}
    assert silent <= fall.start + min(noticed) + 1 and len(noticed) <= 3, (noticed, silent - fall.start)


def check_half_open_balancer():
    """nginx falls silent: who has a keep-alive is lost when it runs out, and who has none does not notice."""
    sets = {**QUICK, **PINGS, "duration": "16s", "groups.0.connect.upgrade_timeout": "1s"}
    sets |= {"groups.1.start": '{ over = "4s" }', "events.0.at": "6s", "events.1.at": "11s"}
    fall = Fall("half-open-balancer", sets)
    check_silence(fall, "silence", FEW)
    assert fall.closes["without", "client 1000"] == 100, fall.closes
    # The service behind nginx has heard nothing of it before that went on.
    assert fall.said("over")[0] >= fall.marks["it goes on"] - NEAR_S, fall.services


def check_certificate_rotated():
    """A certificate of the same authority goes well; with one of another, nobody gets in until it is mended."""
    sets = {**QUICK, "duration": "24s", "events.0.at": "2s", "events.1.at": "9s", "events.2.at": "17s"}
    fall = Fall("certificate-rotated", sets)
    moments, later = [moment for moment, _ in fall.ended_by("nginx")], fall.said("over", code=1006)
    assert len(moments) == len(later) == 2 * FEW, (moments, later)
    check_losses(fall, moments, 2, later)
    check_all_back(fall)
    assert [outage.name for outage in fall.outages] == ["rotated", "rotated by another authority"], fall.outages
    failed = {row["outcome"]: int(row["count"]) for row in fall.outcomes if row["outcome"] != "ok"}
    assert set(failed) == {"tls"} and failed["tls"] >= FEW, failed
    assert {row["said"] for row in fall.outcomes if row["outcome"] == "tls"} == {"certificate unknown_issuer"}, fall.outcomes
    # From when sessions are lost under the other authority's, until it is mended; some attempt may be under way then.
    seconds = [fall.start + int(row["second"]) for row in fall.seconds if int(row["attempts"]) > int(row["ok"])]
    assert fall.outages[1].first - 1 <= min(seconds) and max(seconds) <= fall.done["mended"] + 1, (seconds, fall.done)


def check_dns_failover():
    """An address goes dark, then the name moves: clients are back when what they know of the name is too old, and not before."""
    sets = {**QUICK, **PINGS, "duration": "19s", "groups.0.connect.upgrade_timeout": "1s", "events.0.at": "6s", "events.1.at": "9s"}
    fall = Fall("dns-failover", sets, rig=["--ttl", "2"])
    check_silence(fall, "the address goes dark", FEW)
    opened, moved = fall.said("opened"), fall.marks["failover"]
    assert len(opened) == 2 * FEW, len(opened)
    assert opened[FEW - 1] < fall.marks["the address goes dark"] < moved < opened[FEW], opened
    assert len(fall.logs["new"]) == FEW and not fall.ended_by("old"), fall.logs


# Those that take longest are first.
CHECKS = [
    check_certificate_rotated,
    check_rolling_restart,
    check_dns_failover,
    check_half_open_balancer,
    check_nginx_reload,
    check_haproxy_reload,
    check_service_restart,
    check_backend_dies,
]
