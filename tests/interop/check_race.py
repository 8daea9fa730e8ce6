"""A name's addresses race (RFC 8305): against Python's `websockets`, a name server of dnslib's, and addresses that are silent.

A silent address is one whose queue of connections is full: the kernel answers no further SYN.
"""

import asyncio
import collections
import contextlib
import csv
import json
import socket
import subprocess
import tempfile
import threading
from pathlib import Path

from dnslib import AAAA, QTYPE, RR, A
from dnslib.server import BaseResolver, DNSLogger, DNSServer
from websockets.asyncio.server import serve

from processes import LONGEST, RESURGE, UNTIMED, free_port

CLIENTS = 16
EIGHT = [f"127.0.0.{n}" for n in range(1, 9)]
SILENT = ["127.0.0.3", "127.0.0.7"]

SCENARIO = """
name = "race"
seed = 1
duration = "2s"
{untimed}
[target]
kind = "remote"
url = "ws://eight.test:{port}/"
[[groups]]
name = "g"
clients = {clients}
token = {{ grant = "none" }}
[groups.connect]
url = "ws://{name}.test:{port}/"
resolver = "127.0.0.1:{names}"
race_after = "250ms"
"""


class Names(BaseResolver):
    """Knows a name with eight addresses, and one of both families."""

    def resolve(self, request, handler):
        answer, name, kind = request.reply(), request.q.qname, QTYPE[request.q.qtype]
        known = {("eight.test.", "A"): EIGHT, ("dual.test.", "A"): ["127.0.0.1"], ("dual.test.", "AAAA"): ["::1"]}
        for address in known.get((str(name), kind), []):
            answer.add_answer(RR(name, request.q.qtype, ttl=60, rdata=(AAAA if kind == "AAAA" else A)(address)))
        return answer


@contextlib.contextmanager
def silent(address, port):
    """An address that answers no SYN."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with contextlib.ExitStack() as held:
        listener = held.enter_context(socket.socket(family))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(0)
        for _ in range(4):
            filler = held.enter_context(socket.socket(family))
            filler.setblocking(False)
            filler.connect_ex((address, port))
        yield


@contextlib.contextmanager
def service(addresses, port):
    """Python's `websockets` there; answers with the count of sessions by address."""
    counted, loop = collections.Counter(), asyncio.new_event_loop()
    ready, ending = threading.Event(), asyncio.Event()

    async def session(connection):
        counted[connection.local_address[0]] += 1
        await connection.wait_closed()

    async def run():
        async with serve(session, addresses, port, ping_interval=None):
            ready.set()
            await ending.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()), daemon=True)
    thread.start()
    assert ready.wait(10)
    yield counted
    loop.call_soon_threadsafe(ending.set)
    thread.join(10)


def run(name, port):
    """Runs clients to that name; answers with the counters, and the least and the longest connect."""
    names = DNSServer(Names(), address="127.0.0.1", port=free_port(), logger=DNSLogger("-request,-reply", logf=lambda _: None))
    names.start_thread()
    try:
        with tempfile.TemporaryDirectory() as home:
            scenario, folder = Path(home) / "race.toml", Path(home) / "run"
            text = SCENARIO.format(untimed=UNTIMED, port=port, names=names.server.server_address[1], name=name, clients=CLIENTS)
            scenario.write_text(text)
            command = [RESURGE, "run", str(scenario), "--out", str(folder), "--progress", "none"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST)
            assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
            accounting = json.loads((folder / "run.json").read_text())["accounting"]
            assert accounting["closes"] and list(accounting["all"]["outcomes"]) == ["ok"], accounting
            with open(folder / "summary.csv", newline="") as file:
                (row,) = [row for row in csv.DictReader(file) if (row["group"], row["metric"]) == ("g", "connect_latency")]
            return accounting["all"]["counters"], int(row["min_us"]), int(row["max_us"])
    finally:
        names.stop()
        names.server.server_close()


def check_race_of_eight():
    """Of eight addresses two are silent: whoever begins with one of them is in by the next, 250 ms later, and nobody waits longer."""
    port = free_port()
    with contextlib.ExitStack() as held:
        for address in SILENT:
            held.enter_context(silent(address, port))
        counted = held.enter_context(service([address for address in EIGHT if address not in SILENT], port))
        counters, least, most = run("eight", port)
    # Clients begin with each by turns; the next after a silent one takes its share, too.
    share = CLIENTS // len(EIGHT)
    assert counters["connections_overtaken"] == share * len(SILENT), counters
    assert least < 250_000 < most < 2_000_000, (least, most)
    expected = {address: share * (2 if address in ("127.0.0.4", "127.0.0.8") else 1) for address in EIGHT if address not in SILENT}
    assert counted == expected, counted
    print(f"longest way in: {most / 1000:.0f} ms")


def check_race_of_families():
    """IPv6 is preferred and silent: every client is in by IPv4, 250 ms later."""
    port = free_port()
    with silent("::1", port), service(["127.0.0.1"], port) as counted:
        counters, least, most = run("dual", port)
    assert counted == {"127.0.0.1": CLIENTS}, counted
    assert counters["connections_overtaken"] in (0, CLIENTS), counters
    print(f"{counters['connections_overtaken']} overtaken, {least / 1000:.0f} to {most / 1000:.0f} ms")
    # Where there is no IPv6, nobody waits for it.
    if counters["connections_overtaken"]:
        assert 250_000 < least <= most < 2_000_000, (least, most)


CHECKS = [check_race_of_eight, check_race_of_families]
