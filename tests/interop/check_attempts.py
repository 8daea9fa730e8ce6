"""Availability, added up by another program from attempts.csv. Needs RESURGE_BIN."""

import csv
import os
import subprocess
import tempfile
from collections import defaultdict
from decimal import Decimal
from pathlib import Path

from processes import UNTIMED

RESURGE = str(Path(os.environ["RESURGE_BIN"]).resolve())

# Two groups: one comes back, of the other some give up; a storm, idle closes, and a third of the tokens are stale.
SCENARIO = f"""
name = "attempts"
duration = "6s"
[target]
idle_timeout = "1500ms"
invalidation = "on-disconnect"
[[groups]]
name = "fresh"
clients = 60
start = {{ over = "1s" }}
token = {{ client_id = "a", client_secret = "b", on_reconnect = "fetch" }}
reconnect = {{ backoff = {{ base = "100ms", max = "1s" }} }}
[[groups]]
name = "stale"
clients = 30
start = {{ over = "2s" }}
token = {{ client_id = "c", client_secret = "d", on_reconnect = "reuse" }}
reconnect = {{ backoff = {{ base = "200ms", max = "1s" }}, max_attempts = 3 }}
[[storms]]
at = "3s"
code = 1012
fraction = 0.5
{UNTIMED}
"""


def added_up(folder: Path) -> dict[str, tuple[Decimal, Decimal]]:
    """Client-seconds wanted and in, of each group, by attempts.csv alone."""
    until = Decimal(6_000_000)
    first_out: dict[tuple[str, str], Decimal] = {}
    wanted_until: dict[tuple[str, str], Decimal] = {}
    inside: defaultdict[str, Decimal] = defaultdict(Decimal)
    with (folder / "attempts.csv").open() as file:
        for row in csv.DictReader(file):
            client = (row["group"], row["client"])
            first_out.setdefault(client, Decimal(row["out_from_us"]))
            wanted_until[client] = Decimal(row["wanted_until_us"] or until)
            if row["in_from_us"]:
                inside[row["group"]] += Decimal(row["in_until_us"] or until) - Decimal(row["in_from_us"])
    wanted: defaultdict[str, Decimal] = defaultdict(Decimal)
    for client, since in first_out.items():
        wanted[client[0]] += wanted_until[client] - since
    return {group: (wanted[group], inside[group]) for group in wanted}


def check_availability_adds_up_from_attempts() -> None:
    """To the millisecond, in one process, in three, and in virtual time."""
    with tempfile.TemporaryDirectory() as home:
        scenario = Path(home) / "attempts.toml"
        scenario.write_text(SCENARIO)
        for name, command in [("one", ["run"]), ("three", ["run", "--shards", "3"]), ("virtual", ["simulate"])]:
            folder = Path(home) / name
            arguments = [RESURGE, *command, str(scenario), "--attempts", "--out", str(folder), "--progress", "none"]
            done = subprocess.run(arguments, capture_output=True, text=True)
            # 110: the machine is too busy for latencies to be believed; the sums agree all the same.
            assert done.returncode in (0, 110), (done.stdout, done.stderr)
            sums = added_up(folder)
            assert set(sums) == {"fresh", "stale"}, sums
            with (folder / "availability.csv").open() as file:
                told = {row["group"]: row for row in csv.DictReader(file) if not row["minute"]}
            for group, (wanted, inside) in sums.items():
                row = told[group]
                for ours, theirs in [(wanted, row["wanted_client_s"]), (inside, row["in_client_s"])]:
                    apart = abs(ours / 1_000_000 - Decimal(theirs))
                    assert apart < Decimal("0.001"), (name, group, ours, theirs)
                assert 0 < Decimal(row["availability"]) < 1, row
            attempts = sum(1 for _ in (folder / "attempts.csv").open()) - 1
            with (folder / "outcomes.csv").open() as file:
                outcomes = sum(int(row["count"]) for row in csv.DictReader(file))
            assert attempts == outcomes, (name, attempts, outcomes)
            print(f"{name}: {attempts} attempts; availability of both groups agrees to the millisecond")


CHECKS = [check_availability_adds_up_from_attempts]
