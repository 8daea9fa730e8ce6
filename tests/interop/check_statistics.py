"""SciPy finds the numbers of `resurge compare` on the same runs: quantiles, variances, Welch's test, intervals; Holm is written down once more."""

import itertools
import io
import json
import math
import os
import subprocess
import tempfile
from pathlib import Path

import numpy
import pandas
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader
from scipy import stats

from check_report_html import check_views
from processes import UNTIMED_SETS

ROOT = Path(__file__).resolve().parents[2]
RESURGE = str(Path(os.environ["RESURGE_BIN"]).resolve())
REPEATS = 4
TOLERANCE = 1e-6
HIGHEST = 48 * 3_600_000_000


def close(ours: float, theirs: float, what: str) -> None:
    """Within 1e-6, relative where numbers are large."""
    assert math.isclose(ours, theirs, rel_tol=TOLERANCE, abs_tol=TOLERANCE), f"{what}: {ours!r} here, {theirs!r} by SciPy"


def make_runs(home: Path, side: str, token_delay: str) -> list[Path]:
    folders = []
    for repeat in range(REPEATS):
        folder = home / side / f"r{repeat}"
        command = [RESURGE, "run", "scenarios/smoke.toml", "--progress", "none", "--seed", str(repeat), "--out", str(folder)]
        sets = ["groups.0.clients=200", "duration=1s", "drain=1s", "target.idle_timeout=200ms", f"target.token_delay={token_delay}"]
        command += [argument for value in sets for argument in ("--set", value)] + UNTIMED_SETS
        ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert ran.returncode in (0, 99), ran.stderr
        folders.append(folder)
    return folders


def values_of(folder: Path, tag: str) -> numpy.ndarray:
    """Every value of a metric in a run, each the highest of its bucket."""
    total = HdrHistogram(1, HIGHEST, 3)
    reader = HistogramLogReader(str(folder / "histograms.hlog"), HdrHistogram(1, HIGHEST, 3))
    while interval := reader.get_next_interval_histogram():
        if interval.get_tag() == tag:
            total.add(interval)
    reader.close()
    items = [(total.get_highest_equivalent_value(i.value_iterated_to), i.count_added_in_this_iter_step) for i in total.get_recorded_iterator()]
    return numpy.repeat([value for value, _ in items], [count for _, count in items])


# What was measured, and how long those had been away that were still away at the end.
Times = tuple[numpy.ndarray, numpy.ndarray]


def times_of(folder: Path, group: str, metric: str) -> Times:
    """A metric's values; beside those of ways back, the ones that the run's end has cut off."""
    away = values_of(folder, f"{group}.reconnect_away") if metric == "reconnect_latency" else numpy.array([])
    return values_of(folder, f"{group}.{metric}"), away


def merged(repeats: list[Times]) -> Times:
    return numpy.concatenate([back for back, _ in repeats]), numpy.concatenate([away for _, away in repeats])


def quantile(times: Times, percentile: float) -> float:
    """By rank, the least of which at least that share lies at or below; by the product-limit estimator (Kaplan-Meier) where some are cut off."""
    back, away = times
    if not len(away):
        return float(stats.quantile(back, min(percentile / 100, 1.0), method="inverted_cdf"))
    cdf = stats.ecdf(stats.CensoredData(uncensored=back, right=away)).cdf
    reached = cdf.probabilities >= percentile / 100 - 1e-12
    # Beyond what was seen, it is known to be longer than the longest that was.
    return float(cdf.quantiles[reached][0] if reached.any() else cdf.quantiles[-1])


def bootstrap_variance(repeats: list[Times], percentile: float) -> float:
    """Over every resample of whole runs, times n/(n-1); of the logarithm of the percentile of the merged values."""
    drawn = [
        math.log(max(quantile(merged([repeats[index] for index in picked]), percentile), 1.0))
        for picked in itertools.product(range(len(repeats)), repeat=len(repeats))
    ]
    return float(numpy.var(drawn)) * len(repeats) / (len(repeats) - 1)


def holm(ps: list[float]) -> list[float]:
    order = sorted(range(len(ps)), key=lambda index: ps[index])
    adjusted, least = [0.0] * len(ps), 0.0
    for step, index in enumerate(order):
        least = max(least, min(1.0, (len(ps) - step) * ps[index]))
        adjusted[index] = least
    return adjusted


def check_test(measure: dict) -> None:
    """Welch's t-test from the same variances, and the interval."""
    test, sides = measure["test"], [measure["baseline"], measure["candidate"]]
    variances = [max(side["variance_repeats"], side["variance_floor"]) for side in sides]
    # An outage that a run did not meet is none of its values.
    old, new = [sum(value is not None for value in side["repeats"]) for side in sides]
    if min(old, new) < 3:
        return
    spreads = [math.sqrt(variance * repeats) for variance, repeats in zip(variances, (old, new))]
    welch = stats.ttest_ind_from_stats(test["difference"], spreads[1], new, 0.0, spreads[0], old, equal_var=False)
    name = measure["measure"]
    close(test["t"], float(welch.statistic), f"{name} t")
    close(test["p"], float(welch.pvalue), f"{name} p")
    low, high = stats.t.interval(0.95, test["df"], loc=test["difference"], scale=test["standard_error"])
    close(test["interval_low"], float(low), f"{name} interval")
    close(test["interval_high"], float(high), f"{name} interval")


def angle(share: float, trials: float | None) -> float:
    """Anscombe's angle of a share of so many trials; the angle itself where it is of none."""
    corrected = share if trials is None else (share * trials + 0.375) / (trials + 0.75)
    return math.asin(math.sqrt(min(max(corrected, 0.0), 1.0)))


def check_share(measure: dict) -> None:
    """The difference of the angles, and bounds in points by recovering variances (Zou and Donner); of no spread they are near Newcombe's."""
    test, sides = measure["test"], [measure["baseline"], measure["candidate"]]
    is_trials = measure["measure"] != "availability"
    angles = [angle(side["value"], side["samples"] if is_trials else None) for side in sides]
    close(test["difference"], angles[1] - angles[0], f"{measure['measure']} angle")
    runs = [sum(value is not None for value in side["repeats"]) for side in sides]
    t = float(stats.t.ppf(0.975, test["df"]))
    reach = [
        t * math.sqrt(test[f"variance_per_run_{name}"] / n) for name, n in zip(("baseline", "candidate"), runs)
    ]
    low = [math.sin(max(own - by, 0.0)) ** 2 for own, by in zip(angles, reach)]
    high = [math.sin(min(own + by, math.pi / 2)) ** 2 for own, by in zip(angles, reach)]
    shares = [side["value"] for side in sides]
    change = shares[1] - shares[0]
    close(test["change"], change, f"{measure['measure']} points")
    close(test["change_low"], change - math.hypot(shares[1] - low[1], high[0] - shares[0]), f"{measure['measure']} low")
    close(test["change_high"], change + math.hypot(high[1] - shares[1], shares[0] - low[0]), f"{measure['measure']} high")
    assert -1.0 <= test["change_low"] <= test["change_high"] <= 1.0, test


def check_newcombe() -> None:
    """The example of Newcombe 1998, 56 of 70 against 48 of 80: bounds of angles are near those of score intervals, as SciPy has these."""
    (a, n), (b, m) = (48, 80), (56, 70)
    scores = [stats.binomtest(k, trials).proportion_ci(0.95, method="wilson") for k, trials in ((a, n), (b, m))]
    z = float(stats.norm.ppf(0.975))
    for (k, trials), score in zip(((a, n), (b, m)), scores):
        reach, own = z / math.sqrt(4 * trials + 2), angle(k / trials, trials)
        assert abs(math.sin(own - reach) ** 2 - score.low) < 0.01 and abs(math.sin(own + reach) ** 2 - score.high) < 0.01


def check_percentiles(measure: dict, runs: dict[str, list[Path]]) -> bool:
    name, _, part = measure["measure"].partition(".")
    if measure["unit"] != "us" or part == "max":
        return False
    percentile = float(part[1:].replace("_", "."))
    for side in ("baseline", "candidate"):
        repeats = [times_of(folder, measure["group"], name) for folder in runs[side]]
        close(measure[side]["value"], quantile(merged(repeats), percentile), f"{measure['measure']} of the {side}")
        for ours, times in zip(measure[side]["repeats"], repeats):
            close(ours, quantile(times, percentile), f"{measure['measure']} of a repeat")
        close(measure[side]["variance_repeats"], bootstrap_variance(repeats, percentile), f"{measure['measure']} variance")
    return True


def trend_command(runs: dict[str, list[Path]]) -> list[str]:
    folders = [str(folder) for folder in (*runs["baseline"][:2], runs["candidate"][0])]
    return [RESURGE, "compare", "--trend", *folders, "--allow", "target.token_delay", "--format", "html"]


def check_statistics() -> None:
    """SciPy agrees with every number of a comparison to 1e-6; pandas reads the table; Chromium draws the pages."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        runs = {
            "baseline": make_runs(home, "old", '{ log_normal = { median = "20ms", sigma = 0.3 } }'),
            "candidate": make_runs(home, "new", '{ log_normal = { median = "24ms", sigma = 0.3 } }'),
        }
        command = [RESURGE, "compare", str(home / "old"), str(home / "new"), "--allow", "target.token_delay", "--format"]
        result = json.loads(subprocess.run([*command, "json"], check=True, capture_output=True, text=True).stdout)
        table = subprocess.run([*command, "csv"], check=True, capture_output=True, text=True).stdout
        for page, arguments in {"page": [*command, "html"], "trend": trend_command(runs)}.items():
            file = home / f"{page}.html"
            file.write_text(subprocess.run(arguments, check=True, capture_output=True, text=True).stdout)
            plots = {plot["id"] for plot in check_views(file, has_time=False)[0]["plots"]}
            assert plots >= ({"percentiles-0-0", "recovery-0-0"} if page == "page" else {"trend-0-0", "trend-0-1"}), plots
        measures = result["comparisons"][0]["measures"]
        percentiles = sum(check_percentiles(measure, runs) for measure in measures if measure["decides"])
        assert percentiles >= 4, percentiles
    tested = [measure for measure in measures if measure["test"]]
    assert len(tested) >= 15, len(tested)
    for measure in tested:
        check_test(measure)
        if measure["test"]["scale"] == "arcsine":
            check_share(measure)
    check_newcombe()
    for decides in (True, False):
        family = [measure["test"] for measure in tested if measure["decides"] == decides]
        for test, adjusted in zip(family, holm([test["p"] for test in family])):
            close(test["p_adjusted"], adjusted, "Holm")
    frame = pandas.read_csv(io.StringIO(table))
    assert list(frame["measure"]) == [measure["measure"] for measure in measures]
    numpy.testing.assert_allclose(frame["p"].dropna(), [measure["test"]["p"] for measure in tested], rtol=TOLERANCE)
    print(f"{len(tested)} tests and {percentiles} percentiles with their variances agree with SciPy")


CHECKS = [check_statistics]
