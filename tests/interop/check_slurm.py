"""What `resurge cluster slurm` prints is run by Slurm: as a job, as an array job, and until it is cancelled."""

import contextlib
import subprocess
import tempfile
import time
from pathlib import Path

from cluster import served
from processes import RESURGE, ROOT, UNTIMED_SETS
from slurm_cluster import cluster, missing_programs

WORKERS = 3
SECRETS = {"FORUM_SECRET": "demo-secret"}
SCENARIO = (ROOT / "scenarios/smoke.toml").read_text().replace('"demo-secret"', '{ env = "FORUM_SECRET" }')


def script(home, scenario, *options, duration):
    """The printed script, in a file."""
    command = [RESURGE, "cluster", "slurm", str(scenario), "--workers", str(WORKERS), "--program", RESURGE]
    command += [*UNTIMED_SETS, "--set", f"duration={duration}", *options]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    path = home / f"job-{duration}.sh"
    path.write_text(text)
    return path


def said(home, pattern):
    """What a job has said."""
    return "\n".join(file.read_text() for file in sorted(home.glob(pattern)))


def until_said(home, pattern, word, longest=20):
    """Waits until a job has said it."""
    ends = time.monotonic() + longest
    while word not in said(home, pattern):
        assert time.monotonic() < ends, said(home, pattern)
        time.sleep(0.1)


def check_slurm():
    """A job and an array job make whole runs; a cancelled one drains and reports."""
    missing = missing_programs()
    assert not missing, f"Slurm is not installed: {missing}"
    with tempfile.TemporaryDirectory(prefix="slurm-") as home, contextlib.ExitStack() as stack:
        home = Path(home)
        address = stack.enter_context(served()).url()
        (home / "cluster").mkdir()
        slurm = stack.enter_context(cluster(home / "cluster"))
        folder = home / "it's a $(folder)"
        folder.mkdir()
        scenario = folder / "smoke.toml"
        scenario.write_text(SCENARIO)
        quick = script(home, scenario, "--nats", address, duration="2s")
        env = {**SECRETS, "RESURGE_CLUSTER": address}
        job = slurm.submit(quick, cwd=home, env=env)
        array = slurm.submit(quick, f"--array=0-{WORKERS - 1}", "--ntasks=1", cwd=home, env=env)
        unset = slurm.submit(quick, cwd=home)
        ends = {name: slurm.until_ended(name) for name in (job, array, unset)}
        assert ends[job] == ["COMPLETED 0:0"] and ends[array] == ["COMPLETED 0:0"] * WORKERS, (ends, said(home, "slurm-*.out"))
        assert ends[unset] == ["FAILED 104:0"] and "FORUM_SECRET" in said(home, f"slurm-{unset}.out"), ends
        for number in (job, array):
            text = said(home, f"slurm-{number}*.out")
            assert f"in {WORKERS} shards" in text, text
            assert (home / f"reports/smoke-{number}/report.html").exists()
            assert text.count("the coordinator has the journal of share") == WORKERS, text
        long = script(home, scenario, duration="60s")
        for how in (["--batch", "--signal=TERM"], []):
            number = slurm.submit(long, cwd=home, env=env)
            until_said(home, f"slurm-{number}.out", "connected")
            began = time.monotonic()
            slurm.run("scancel", *how, number)
            end = slurm.until_ended(number)
            text = said(home, f"slurm-{number}.out")
            assert "drain" in text and (home / f"reports/smoke-{number}/report.html").exists(), (end, text)
            assert "once more" in text and f"in {WORKERS} shards" in text and "105" in " ".join(end), (end, text)
            print(f"        scancel {' '.join(how)}: drained and reported after {time.monotonic() - began:.1f} s, {end[0]}")


CHECKS = [check_slurm]
