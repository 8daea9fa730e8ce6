"""lifelines finds the reconnect percentiles of a run with clients that are still away, their intervals, and the shares that are away, from the histograms."""

import csv
import json
import os
import subprocess
import tempfile
from pathlib import Path

import numpy
from lifelines import KaplanMeierFitter
from lifelines.utils import qth_survival_time

from check_hlog import read_log

RESURGE = str(Path(os.environ["RESURGE_BIN"]).resolve())
TOLERANCE = 1e-9

# Clients are cut off all the time and by a storm near the end; of their ways back many fail, some give up, and the run ends on many.
SCENARIO = """
name = "away"
seed = 19
duration = "40s"
drain = "1s"
[target]
kind = "embedded"
invalidation = "never"
required_scopes = []
idle_timeout = "never"
[[target.faults]]
kind = "upgrade_status"
status = 503
from = "3s"
share = 0.7
[[groups]]
name = "patient"
clients = 400
start = { over = "2s" }
token = { client_id = "a", client_secret = "b" }
reconnect = { backoff = { kind = "exponential", base = "300ms", max = "20s" } }
disconnects = [{ after = "6s" }]
[[groups]]
name = "hasty"
clients = 300
start = { over = "2s" }
token = { client_id = "a", client_secret = "b" }
reconnect = { backoff = { kind = "constant", base = "700ms" }, max_attempts = 6 }
disconnects = [{ after = "5s" }]
[[groups]]
name = "whole"
clients = 50
token = { client_id = "a", client_secret = "b" }
[[storms]]
at = "36s"
by = "client"
how = "rst"
fraction = "60%"
groups = ["patient", "hasty"]
"""


def values_of(histogram) -> numpy.ndarray:
    """Every value, each the highest of its bucket."""
    if histogram is None:
        return numpy.array([], dtype=float)
    items = [(histogram.get_highest_equivalent_value(i.value_iterated_to), i.count_added_in_this_iter_step) for i in histogram.get_recorded_iterator()]
    return numpy.repeat([float(value) for value, _ in items], [count for _, count in items])


def fitted(back: numpy.ndarray, away: numpy.ndarray, given_up: int) -> KaplanMeierFitter:
    """Who gave up is never seen back, however long one looks."""
    longest = max(back.max(initial=0), away.max(initial=0))
    durations = numpy.concatenate([back, away, numpy.full(given_up, longest * 10)])
    seen = numpy.concatenate([numpy.ones(len(back)), numpy.zeros(len(away) + given_up)])
    return KaplanMeierFitter(alpha=0.05).fit(durations, seen)


def time_of(curve, still_away: float) -> float | None:
    time = qth_survival_time(still_away + 1e-12, curve)
    return None if numpy.isinf(time) else time


def check_group(name: str, group: dict, totals: dict, row: dict) -> int:
    reconnects = group["reconnects"]
    back = values_of(totals.get(f"{name}.reconnect_latency"))
    away = values_of(totals.get(f"{name}.reconnect_away"))
    assert (len(back), len(away)) == (reconnects["back"], reconnects["away"]), (name, reconnects)
    assert row["away"] == str(len(away)) and (not len(away) or int(row["longest_away_us"]) == away.max())
    fitter = fitted(back, away, reconnects["given_up"])
    compared = 0
    for percentile in (50, 95, 99):
        ours = reconnects[f"p{percentile}"]
        still_away = 1 - percentile / 100
        bounds = fitter.confidence_interval_
        low, high = bounds.iloc[:, [0]], bounds.iloc[:, [1]]
        for key, curve in (("value_us", fitter.survival_function_), ("low_us", low), ("high_us", high)):
            theirs = time_of(curve, still_away)
            assert ours[key] == theirs, f"{name} p{percentile} {key}: {ours[key]} here, {theirs} by lifelines"
        assert group["latencies"]["reconnect_latency"][f"p{percentile}_us"] == ours["value_us"]
        assert row[f"p{percentile}_us"] == ("" if ours["value_us"] is None else str(ours["value_us"]))
        compared += 3
    for step in reconnects["curve"]:
        theirs = float(fitter.predict(step["time_us"]))
        assert abs(step["still_away"] - theirs) <= TOLERANCE, f"{name}: {step} here, {theirs} by lifelines"
        compared += 1
    return compared


def check_survival() -> None:
    """lifelines agrees with percentiles, intervals and shares of those who are still away, to 1e-9."""
    with tempfile.TemporaryDirectory() as name:
        scenario, out = Path(name) / "away.toml", Path(name) / "run"
        scenario.write_text(SCENARIO)
        ran = subprocess.run([RESURGE, "simulate", str(scenario), "--progress", "none", "--out", str(out)], capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        groups = {group["group"]: group for group in json.loads((out / "run.json").read_text())["accounting"]["groups"]}
        totals = read_log(out / "histograms.hlog")
        with open(out / "summary.csv", newline="") as file:
            rows = {row["group"]: row for row in csv.DictReader(file) if row["metric"] == "reconnect_latency"}
    assert groups["hasty"]["reconnects"]["given_up"] > 10 and groups["patient"]["reconnects"]["away"] > 50, groups
    assert groups["whole"]["reconnects"] is None, "nobody was cut off"
    compared = sum(check_group(name, groups[name], totals, rows[name]) for name in ("patient", "hasty"))
    assert any(groups[name]["reconnects"]["p99"]["value_us"] is None for name in ("patient", "hasty"))
    print(f"{compared} numbers agree with lifelines")


CHECKS = [check_survival]
