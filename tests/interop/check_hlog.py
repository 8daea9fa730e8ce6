"""Reads a run folder's histograms.hlog with another HdrHistogram implementation and compares it with summary.csv.

Usage: check_hlog.py RUN_DIR. Exits with 1 when a count or a percentile differs.
"""

import csv
import sys
from pathlib import Path

from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader

PERCENTILES = {"p50_us": 50.0, "p75_us": 75.0, "p90_us": 90.0, "p95_us": 95.0, "p99_us": 99.0, "p99_9_us": 99.9, "max_us": 100.0}


def read_log(path: Path) -> dict[str, HdrHistogram]:
    """All intervals of the log, added up for each tag."""
    totals: dict[str, HdrHistogram] = {}
    reader = HistogramLogReader(str(path), HdrHistogram(1, 48 * 3_600_000_000, 3))
    while interval := reader.get_next_interval_histogram():
        tag = interval.get_tag()
        totals.setdefault(tag, HdrHistogram(1, 48 * 3_600_000_000, 3)).add(interval)
    reader.close()
    return totals


def neighbours(histogram: HdrHistogram, percentile: float) -> tuple[int, int]:
    """The values at the ranks just below and above a percentile: implementations round a rank either way."""
    rank = 100.0 / max(histogram.get_total_count(), 1)
    low = histogram.get_value_at_percentile(max(percentile - rank, 0.0))
    high = histogram.get_value_at_percentile(min(percentile + rank, 100.0))
    return low, high


def main(folder: Path) -> int:
    totals = read_log(folder / "histograms.hlog")
    compared = faults = 0
    with open(folder / "summary.csv", newline="") as file:
        for row in csv.DictReader(file):
            # Where somebody is still away, the percentiles know of it and the histogram does not: check_survival.py has those.
            if row["group"] == "all" or row["away"] not in ("", "0"):
                continue
            histogram = totals[f"{row['group']}.{row['metric']}"]
            if histogram.get_total_count() != int(row["count"]):
                faults += 1
                print(f"{row['group']} {row['metric']}: count {row['count']} here, {histogram.get_total_count()} there")
            for column, percentile in PERCENTILES.items():
                compared += 1
                here = int(row[column])
                low, high = neighbours(histogram, percentile)
                if not low <= here <= high:
                    faults += 1
                    print(f"{row['group']} {row['metric']} {column}: {here} here, {low}..{high} there")
    print(f"{compared} percentiles of {len(totals)} histograms compared, {faults} differ")
    return 1 if faults or not compared else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
