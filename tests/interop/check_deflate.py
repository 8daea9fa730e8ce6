"""permessage-deflate against services that we did not write: what they count, message by message and byte by byte, is what we count.

`ws` (Node), `websockets` and uvicorn (Python). The parameters are those of Autobahn's cases 13.1 to 13.7, the sizes those of its cases 12.
"""

import csv
import json
import subprocess
import tempfile
from pathlib import Path

from processes import LONGEST, RESURGE, UNTIMED, end_and_read, node, started
from check_strangers import python

# Of Autobahn's cases 12.x: 16 bytes to 128 KiB.
SIZES = [16, 64, 256, 1024, 4096, 8192, 16384, 32768, 65536, 131072, 0, 1]
CLIENTS = 3
# What a client offers: Autobahn's cases 13.1 to 13.7, what browsers offer, and what only the smallest windows show.
OFFERS = {
    "plain": "{}",
    "browser": "true",
    "forgets": "{ server_no_context_takeover = true, client_no_context_takeover = true }",
    "window9": "{ server_max_window_bits = 9 }",
    "window15": "{ server_max_window_bits = 15, client_max_window_bits = 15 }",
    "narrow": "{ server_max_window_bits = 9, client_max_window_bits = 9, server_no_context_takeover = true }",
    "smallest": "{ client_max_window_bits = 8 }",
    "threshold": "{ client_max_window_bits = 15, threshold = 100000 }",
    "none": "false",
}

HEAD = """
name = "deflate"
seed = 1
duration = "3s"
drain = "5s"
{untimed}
[target]
kind = "remote"
url = "ws://127.0.0.1:{port}/none"
"""

GROUP = """
[[groups]]
name = "{name}"
clients = {clients}
token = {{ grant = "none" }}
[groups.connect]
url = "ws://127.0.0.1:{port}/{name}"
compression = {offer}
[groups.session]
send = {{ rate = "8/s", text = {text} }}
max_message_bytes = 200000
[[groups.disconnects]]
after = "700ms"
[groups.reconnect]
backoff = {{ kind = "constant", base = "100ms" }}
"""
TEXT = json.dumps("".join(f'{{"id":{n * n},"what":"state"}}' for n in range(60)))


def run(ports):
    """Runs clients of all offers that have a port; answers with the counters of each group."""
    with tempfile.TemporaryDirectory() as home:
        scenario, folder = Path(home) / "deflate.toml", Path(home) / "run"
        groups = [GROUP.format(name=name, clients=CLIENTS, port=port, offer=OFFERS.get(name, "true"), text=TEXT) for name, port in ports.items()]
        port = next(iter(ports.values()))
        scenario.write_text(HEAD.format(untimed=UNTIMED, port=port) + "".join(groups))
        command = [RESURGE, "run", str(scenario), "--out", str(folder), "--progress", "none"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST)
        assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
        accounting = json.loads((folder / "run.json").read_text())["accounting"]
        assert accounting["closes"], accounting
        with open(folder / "closes.csv", newline="") as file:
            ends = {(row["initiator"], row["code"]) for row in csv.DictReader(file)}
        assert ends == {("client", "1000")}, ends
        return {group["group"]: group["counters"] for group in accounting["groups"]}


def agree(name, ours, theirs, unheard=0):
    """Both sides counted the same. So many messages may have come to the service with the close frame behind them, and not been handed on."""
    get = lambda counter: ours.get(counter, 0)
    assert get("upgrades") == theirs["sessions"] >= CLIENTS * 2, (name, ours, theirs)
    assert get("messages_in") == theirs["out"], (name, ours, theirs)
    assert 0 < theirs["in"] <= get("messages_out") <= theirs["in"] + unheard, (name, ours, theirs)
    if "read" in theirs:
        assert (get("bytes_in"), get("bytes_out")) == (theirs["written"], theirs["read"]), (name, ours, theirs)
    if "agreed" in theirs:
        assert get("compressed_sessions") == theirs["agreed"], (name, ours, theirs)
    if get("compressed_sessions"):
        assert get("plain_bytes_in") == theirs["plain_out"], (name, ours, theirs)
        of_message = len(json.loads(TEXT))
        assert get("plain_bytes_out") == get("messages_out") * of_message, (name, ours)
        assert theirs["plain_in"] == theirs["in"] * of_message, (name, theirs)
        assert get("payload_bytes_in") * 2 < get("plain_bytes_in"), (name, ours)


def check_deflate_of_ws():
    """`ws` with its own parameters of Autobahn's cases: sessions, messages, bytes of messages, and bytes over TCP are the same."""
    modes = {name: {"threshold": 0} for name in OFFERS}
    with started(node("deflate.js", json.dumps(modes), json.dumps(SIZES))) as service:
        port = int(service.stdout.readline())
        ours = run({name: port for name in OFFERS})
        theirs = end_and_read(service)
    for name in OFFERS:
        agree(name, ours[name], theirs[name])
        assert "error" not in theirs[name], (name, theirs)
        assert (theirs[name]["agreed"] > 0) == (name != "none"), (name, theirs)
    assert ours["threshold"]["payload_bytes_out"] == ours["threshold"]["plain_bytes_out"], ours["threshold"]
    for name in ["plain", "browser", "narrow", "smallest"]:
        assert ours[name]["payload_bytes_out"] < ours[name]["plain_bytes_out"], ours[name]
    # What is taken over from message to message makes them smaller.
    assert ours["plain"]["payload_bytes_out"] * 2 < ours["forgets"]["payload_bytes_out"], ours
    print(f"{sum(own['sessions'] for own in theirs.values())} sessions with ws, every byte the same")


def check_deflate_of_python():
    """`websockets`, free and strict in what it agrees to, and uvicorn."""
    with started(python("deflating.py", json.dumps(SIZES))) as service:
        free, strict, asgi = map(int, service.stdout.readline().split())
        names = ["plain", "browser", "forgets", "window9", "none"]
        ours = run({**{name: free for name in names}, "strict": strict, "uvicorn": asgi})
        theirs = end_and_read(service)
    for name, own in ours.items():
        agree(name, own, theirs[name], unheard=2 * own["upgrades"])
    assert ours["strict"]["compressed_sessions"] == theirs["strict"]["sessions"], ours["strict"]
    assert ours["uvicorn"]["compressed_sessions"] == theirs["uvicorn"]["sessions"], ours["uvicorn"]
    assert ours["none"]["compressed_sessions"] == 0, ours["none"]
    print(f"{sum(own['sessions'] for own in theirs.values())} sessions with websockets and uvicorn")


CHECKS = [check_deflate_of_ws, check_deflate_of_python]
