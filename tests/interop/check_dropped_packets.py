"""A router between a fleet and a service drops all packets for a while: in networks of their own, with Python's `websockets` behind them.

Who has a keep-alive is lost when it was last heard of, and is back once packets pass; who has none does not notice. Where no networks of its own can be made
(`unshare -rn`), it says SKIPPED.
"""

import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from check_outages import FALLS, FEW, NEAR_S, Fall, check_silence
from processes import RESURGE, UNTIMED, started

LONGEST = 60
SERVICE = "10.77.2.2"
# What each is to the other: fleet, router, service.
LINKS = """
ip link set lo up
ip link add fleet type veth peer name near netns {router}
ip addr add 10.77.1.2/24 dev fleet
ip link set fleet up
nsenter -t {router} -n ip link add far type veth peer name service netns {service}
nsenter -t {router} -n ip addr add 10.77.1.1/24 dev near
nsenter -t {router} -n ip addr add 10.77.2.1/24 dev far
nsenter -t {router} -n ip link set near up
nsenter -t {router} -n ip link set far up
nsenter -t {service} -n ip addr add 10.77.2.2/24 dev service
nsenter -t {service} -n ip link set service up
nsenter -t {service} -n ip route add default via 10.77.2.1
ip route add 10.77.2.0/24 via 10.77.1.1
"""
SCENARIO = """
name = "dropped-packets"
duration = "18s"
[target]
url = "ws://10.77.2.2:9700/"
token_url = "http://127.0.0.1:9701/"
[[groups]]
name = "with-keep-alive"
clients = {few}
start = {{ over = "4s" }}
token = {{ client_id = "demo-client", client_secret = "demo-secret" }}
connect = {{ tcp_timeout = "1s", upgrade_timeout = "1s" }}
session = {{ keep_alive = {{ ping_every = "1s", timeout = "500ms" }} }}
reconnect = {{ backoff = {{ kind = "exponential", base = "500ms", max = "2s", jitter = "full" }} }}
[[groups]]
name = "without"
clients = {few}
start = {{ over = "4s" }}
token = {{ client_id = "demo-client", client_secret = "demo-secret" }}
[[events]]
at = "6s"
name = "packets are dropped"
command = ["nsenter", "-t", "{router}", "-n", "sh", "-c", "echo 0 > /proc/sys/net/ipv4/ip_forward"]
window = "5s"
[[events]]
at = "11s"
name = "packets pass"
command = ["nsenter", "-t", "{router}", "-n", "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]
window = "1s"
"""


class Behind(Fall):
    """A run whose fleet and service have a router between them."""

    def __init__(self, home):
        done = subprocess.run(["unshare", "-rn", sys.executable, __file__, home], capture_output=True, text=True, timeout=LONGEST)
        assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
        self.read(Path(home) / "run", Path(home))


def check_dropped_packets():
    """Silence that comes from the network, not from a process that is stopped."""
    possible = subprocess.run(["unshare", "-rn", "ip", "link", "set", "lo", "up"], capture_output=True, text=True, timeout=LONGEST)
    if possible.returncode:
        print(f"        SKIPPED: no networks of its own can be made here: {possible.stderr.strip()}")
        return
    with tempfile.TemporaryDirectory() as home:
        fall = Behind(home)
    check_silence(fall, "packets are dropped", FEW)
    assert fall.closes["without", "client 1000"] == FEW, fall.closes
    # While nothing passed, nobody got in, and the service heard nothing of those that had gone.
    passed = fall.marks["packets pass"]
    opened, over = fall.said("opened"), fall.said("over")
    assert len(opened) == 3 * FEW and opened[2 * FEW - 1] < fall.marks["packets are dropped"] and opened[2 * FEW] >= passed - NEAR_S, opened
    assert over[0] >= passed - NEAR_S, (over[0], passed)
    failed = {row["outcome"]: int(row["count"]) for row in fall.outcomes if row["outcome"] != "ok" and row["count"] != "0"}
    assert set(failed) == {"timeout"} and failed["timeout"] >= FEW, failed


def network():
    """A process in a network of its own."""
    process = subprocess.Popen(["unshare", "-n", "sleep", str(LONGEST)])
    own = os.readlink("/proc/self/ns/net")
    end = time.monotonic() + 10
    while os.readlink(f"/proc/{process.pid}/ns/net") == own:
        assert time.monotonic() < end, "no network of its own"
        time.sleep(0.01)
    return process


def inside(home):
    """In a network of the fleet's own: makes the others, and runs the scenario."""
    sys.path.insert(0, str(FALLS))
    import rig

    router, service = network(), network()
    try:
        for line in LINKS.format(router=router.pid, service=service.pid).strip().splitlines():
            subprocess.run(["sh", "-c", line], check=True, timeout=LONGEST)
        forward = ["nsenter", "-t", str(router.pid), "-n", "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]
        subprocess.run(forward, check=True, timeout=LONGEST)
        secret = "of this check alone"
        handler = type("Handler", (rig.TokenEndpoint,), {"secret": secret})
        threading.Thread(target=rig.TokenServer(("127.0.0.1", 9701), handler).serve_forever, daemon=True).start()
        log = home / "service-1.log"
        command = ["nsenter", "-t", str(service.pid), "-n", sys.executable, str(FALLS / "service.py"), SERVICE, "9700", str(log), secret]
        with started(command):
            rig.until(lambda: log.exists() and '"up"' in log.read_text(), "the service does not listen")
            scenario = home / "dropped.toml"
            scenario.write_text(SCENARIO.format(few=FEW, router=router.pid) + UNTIMED)
            command = [RESURGE, "run", str(scenario), "--allow-commands", "--out", str(home / "run"), "--progress", "none"]
            return subprocess.run(command, timeout=LONGEST).returncode
    finally:
        for process in (router, service):
            process.kill()
            process.wait()


CHECKS = [check_dropped_packets]

if __name__ == "__main__":
    sys.exit(inside(Path(sys.argv[1])))
