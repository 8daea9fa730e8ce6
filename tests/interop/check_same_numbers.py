"""Virtual time: the same scenario in one process, over pipes and over a cluster gives the same files, byte by byte."""

import subprocess
import tempfile
from pathlib import Path

from cluster import LONGEST, OLD, check_nothing_left, cluster, served
from processes import RESURGE

FILES = ("summary.csv", "outcomes.csv", "closes.csv")
SCENARIO = """
name = "same"
seed = 11
duration = "60s"
[target]
idle_timeout = "5s"
[simulate.stages]
token = "5ms"
[[groups]]
name = "fresh"
clients = 48
token = { client_id = "a", client_secret = "demo-secret", on_reconnect = "fetch" }
[[groups]]
name = "stale"
clients = 48
token = { client_id = "b", client_secret = "demo-secret", on_reconnect = "reuse" }
"""


def files_of(folder):
    """What must be the same."""
    return {name: (folder / name).read_bytes() for name in FILES}


def check_virtual_time_is_the_same_everywhere():
    """1, 2, 3, 8 and 16 workers, 2, 3, 8 and 16 processes."""
    with tempfile.TemporaryDirectory() as home, served(OLD) as server:
        def simulated(shards):
            folder = Path(home) / f"shards-{shards}"
            command = [RESURGE, "simulate", str(file), "--shards", str(shards), "--out", str(folder), "--progress", "none"]
            subprocess.run(command, check=True, timeout=LONGEST, capture_output=True)
            return files_of(folder)

        file = Path(home) / "same.toml"
        file.write_text(SCENARIO)
        alone = simulated(1)
        rows = alone["outcomes.csv"].splitlines()
        assert any(b"stale_token" in row for row in rows) and any(b",ok," in row for row in rows), rows
        for shards in (2, 3, 8, 16):
            assert simulated(shards) == alone, f"{shards} processes"
        for workers in (1, 2, 3, 8, 16):
            with cluster(server, SCENARIO, shares=workers) as run:
                run.lead = run.coordinate(verb="simulate")
                run.workers = {index: run.work(index) for index in range(1, workers + 1)}
                lead, codes = run.end()
                assert lead == 0 and not any(codes.values()), (lead, run.told())
                assert files_of(run.home / "whole") == alone, f"{workers} workers"
                check_nothing_left(server)


CHECKS = [check_virtual_time_is_the_same_everywhere]
