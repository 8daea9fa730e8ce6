"""Workers in networks of their own, whose links to the NATS server go down for a while: load goes on, and nothing is lost.

Where no networks of its own can be made (`unshare -rn`), it says SKIPPED. `RESURGE_LINK_DOWN=60` takes a link down for longer.
"""

import csv
import os
import subprocess
import sys
import time

from check_cluster import check_plan, sum_of, wait_for
from check_dropped_packets import network
from cluster import LONGEST, check_nothing_left, check_whole, cluster, scenario, served, wired

# Longer than a worker is waited for; and shorter.
LONG, SHORT = int(os.environ.get("RESURGE_LINK_DOWN", "12")), 5
AFTER = 1
# Until TCP, or the client of NATS, notices that the link is up again.
BACK = 12
SHARES, CLIENTS = 3, 30


def attempts_of(run, index):
    """How many attempts there were in each second of a worker's own journal."""
    run.merge([run.home / f"worker-{index}"], f"alone-{index}")
    with open(run.home / f"alone-{index}" / "timeseries.csv", newline="") as file:
        return {int(row["second"]): int(row["attempts"]) for row in csv.DictReader(file)}


def partition():
    """In a network of its own: each worker has one too, with a link to the server here."""
    duration = AFTER + LONG + BACK
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True, timeout=LONGEST)
    networks = {index: network() for index in range(1, SHARES + 1)}
    try:
        for index, process in networks.items():
            inside = f"nsenter -t {process.pid} -n"
            for line in (
                f"ip link add near{index} type veth peer name far netns {process.pid}",
                f"ip addr add 10.78.{index}.1/24 dev near{index}",
                f"ip link set near{index} up",
                f"{inside} ip link set lo up",
                f"{inside} ip addr add 10.78.{index}.2/24 dev far",
                f"{inside} ip link set far up",
            ):
                subprocess.run(line.split(), check=True, timeout=LONGEST)
        with served(listen="0.0.0.0") as server, cluster(server, scenario(duration, CLIENTS), shares=SHARES) as run:
            with wired(server) as wire:
                wire.subscribe(f"$KV.resurge_{run.name}.order.>")
                run.lead = run.coordinate()
                for index, process in networks.items():
                    url = server.url(host=f"10.78.{index}.1")
                    run.workers[index] = run.work(index, "--nats-insecure", prefix=["nsenter", "-t", str(process.pid), "-n"], url=url)
                start = run.started(wire)
            wait_for(start + AFTER)
            for index in (1, 2):
                subprocess.run(["ip", "link", "set", f"near{index}", "down"], check=True, timeout=LONGEST)
            wait_for(start + AFTER + SHORT)
            subprocess.run(["ip", "link", "set", "near1", "up"], check=True, timeout=LONGEST)
            wait_for(start + AFTER + LONG)
            subprocess.run(["ip", "link", "set", "near2", "up"], check=True, timeout=LONGEST)
            up = time.time()
            while "shard 2 of 3 is heard again" not in run.err() and not run.has_ended():
                time.sleep(0.1)
            print(f"heard again {time.time() - up:.1f} s after its link was up")
            report, said = check_whole(run), run.err()
            check_plan(report, CLIENTS, duration)
            for text in ("shard 1 of 3 has said nothing", "shard 1 of 3 is heard again", "shard 2 of 3 is lost", "shard 2 of 3 is heard again"):
                assert text in said, (text, said)
            assert "shard 1 of 3 is lost" not in said and "shard 3" not in said, said
            # The load was that of the scenario, with a link or without; in each three seconds, for a busy machine may be late by one.
            plan, each = sum_of(report)["attempts"] / SHARES, CLIENTS / SHARES
            for index in networks:
                seconds = attempts_of(run, index)
                assert abs(sum(seconds.values()) - plan) <= 0.05 * plan, (index, seconds, plan)
                assert all(sum(seconds[second + more] for more in range(3)) >= 1.5 * each for second in range(duration - 4)), (index, seconds)
            check_nothing_left(server)
    finally:
        for process in networks.values():
            process.kill()
            process.wait()


def check_links_down():
    """5 s: silent, and heard again. Longer than a worker is waited for: lost, and heard again; the run is whole."""
    possible = subprocess.run(["unshare", "-rn", "ip", "link", "set", "lo", "up"], capture_output=True, text=True, timeout=LONGEST)
    if possible.returncode:
        print(f"        SKIPPED: no networks of its own can be made here: {possible.stderr.strip()}")
        return
    done = subprocess.run(["unshare", "-rn", sys.executable, __file__], capture_output=True, text=True, timeout=AFTER + LONG + BACK + 2 * LONGEST)
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr[-4000:])
    print(f"        {done.stdout.strip()}")


CHECKS = [check_links_down]

if __name__ == "__main__":
    partition()
