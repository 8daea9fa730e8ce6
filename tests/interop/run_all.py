"""What programs that we did not write make of our files. Needs RESURGE_BIN and the packages of requirements.txt."""

import json
import os
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jsonschema

import check_attempts
import check_bound
import check_cases
import check_cluster
import check_cluster_networks
import check_conversations
import check_cookies
import check_deflate
import check_dropped_packets
import check_foreign
import check_formats
import check_hlog
import check_launchers
import check_live
import check_messages
import check_mqtt
import check_observe
import check_opentelemetry
import check_outages
import check_overlap
import check_pages
import check_parquet
import check_policies
import check_prometheus
import check_race
import check_report_html
import check_same_numbers
import check_services
import check_signatures
import check_slurm
import check_statistics
import check_strangers
import check_survival
import check_talk
import check_thread
import check_tls
import check_tokens
import check_topics
from machine_clock import STILL, Clock
from processes import UNTIMED_SETS

ROOT = Path(__file__).resolve().parents[2]
AT_ONCE = 4
# So many checks that failed are run again, if the machine stood still.
MOST_AGAIN = 6
RESURGE = str(Path(os.environ["RESURGE_BIN"]).resolve())


def check_histograms() -> None:
    """Another HdrHistogram implementation finds the percentiles of summary.csv in histograms.hlog."""
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home) / "run"
        command = [RESURGE, "run", "scenarios/smoke.toml", "--set", "groups.0.clients=200", "--progress", "none"]
        subprocess.run([*command, *UNTIMED_SETS, "--out", str(folder)], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        assert check_hlog.main(folder) == 0


def check_schema() -> None:
    """Every shipped scenario is valid by the published schema, and a wrong one is not."""
    text = subprocess.run([RESURGE, "schema"], check=True, capture_output=True, text=True).stdout
    schema = json.loads(text)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    scenarios = sorted((ROOT / "scenarios").rglob("*.toml"))
    for path in scenarios:
        validator.validate(tomllib.loads(path.read_text()))
    wrong = tomllib.loads(scenarios[0].read_text())
    wrong["groups"][0]["clonts"] = 3
    assert not validator.is_valid(wrong)
    print(f"{len(scenarios)} scenarios are valid by the schema")


def judged(check: Callable[[], None]) -> tuple[Callable[[], None], bool, str]:
    """The check, whether it passed, and a line that says so."""
    began = time.monotonic()
    try:
        check()
        passed, why = True, ""
    except Exception as error:  # noqa: BLE001 - whatever it is, the check has failed
        passed, why = False, f": {error!r}"
    took = time.monotonic() - began
    return check, passed, f"{'ok     ' if passed else 'FAILED '} {check.__name__} ({took:.1f} s){why}"


def failures(results: Iterable[tuple[Callable[[], None], bool, str]]) -> list[Callable[[], None]]:
    """Prints each line as it comes; the checks that have failed."""
    failed = []
    for check, passed, line in results:
        if not passed:
            failed.append(check)
        print(line, flush=True)
    return failed


def main() -> int:
    # A browser takes all that the machine has: what is measured beside it would not be valid.
    alone = [*check_report_html.CHECKS, *check_live.CHECKS, *check_pages.CHECKS, *check_statistics.CHECKS]
    # Most of what the others do is to wait for a run.
    together = [
        *check_outages.CHECKS,
        *check_overlap.CHECKS,
        *check_dropped_packets.CHECKS,
        *check_policies.CHECKS,
        *check_services.CHECKS,
        *check_prometheus.CHECKS,
        *check_observe.CHECKS,
        *check_opentelemetry.CHECKS,
        *check_formats.CHECKS,
        *check_parquet.CHECKS,
        *check_foreign.CHECKS,
        *check_cases.CHECKS,
        *check_strangers.CHECKS,
        *check_messages.CHECKS,
        *check_mqtt.CHECKS,
        *check_talk.CHECKS,
        *check_conversations.CHECKS,
        *check_cookies.CHECKS,
        *check_thread.CHECKS,
        *check_deflate.CHECKS,
        *check_tls.CHECKS,
        *check_race.CHECKS,
        *check_tokens.CHECKS,
        *check_topics.CHECKS,
        *check_signatures.CHECKS,
        *check_survival.CHECKS,
        *check_attempts.CHECKS,
        check_histograms,
        check_schema,
    ]
    # Runs over many machines take a program that was built with them, and nats-server, faketime, Slurm and munge beside it.
    if "  worker " in subprocess.run([RESURGE, "--help"], capture_output=True, text=True, check=True).stdout:
        clusters = [check_same_numbers, check_cluster_networks, check_cluster, check_launchers, check_slurm]
        together = [check for checks in clusters for check in checks.CHECKS] + together
    clock = Clock()
    clock.start()
    failed = failures(map(judged, alone))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        failed += failures(pool.map(judged, together))
    if 0 < len(failed) <= MOST_AGAIN and clock.longest >= STILL:
        print(f"the machine stood still for up to {clock.longest:.3f} s: {len(failed)} checks are run again, alone")
        failed = failures(map(judged, failed))
    print(f"{len(alone) + len(together) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
