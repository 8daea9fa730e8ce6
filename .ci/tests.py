#!/usr/bin/env python3
"""Runs the command of the tests; what a busy machine has spoiled is run again, alone, when whatever ran beside has ended.

Usage: tests.py [--beside PID] cargo test ...

A test that waits for moments of time fails where the machine stands still. So a clock runs beside the tests. Where it was
kept waiting for longer than STILL, the tests that failed are run again, one at a time, once PID has ended; each must pass
then. Where the machine did not stand still, or more than MOST tests failed, nothing is run again. What was repeated is
always told. The exit code is 0 where every test has passed, else 1.
"""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "interop"))
from machine_clock import STILL, Clock

MOST = 12
WAIT = 900

RUNNING = re.compile(r"^\s*Running (?:unittests )?(\S+) \(\S+\)")
DOC_TESTS = re.compile(r"^\s*Doc-tests ")
FAILED = re.compile(r"^test (\S+)(?: - should panic)? \.\.\. FAILED$")


def target_of(source):
    """The options that choose a test program by the source that cargo names, as src/lib.rs or tests/cli/main.rs."""
    if source == "src/lib.rs":
        return ["--lib"]
    if source == "src/main.rs":
        return ["--bins"]
    found = re.fullmatch(r"(tests|benches|examples)/([^/]+?)(?:\.rs|/main\.rs)", source)
    kind = {"tests": "--test", "benches": "--bench", "examples": "--example"}
    return [kind[found[1]], found[2]] if found else None


def run(command):
    """Runs it, showing what it prints. Returns its exit code and the tests that failed, as (source, name)."""
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    source, failed = None, []
    for line in child.stdout:
        sys.stdout.write(line)
        sys.stdout.flush()
        if found := RUNNING.match(line):
            source = found[1]
        elif DOC_TESTS.match(line):
            source = "doc"
        elif found := FAILED.match(line.rstrip()):
            failed.append((source, found[1]))
    return child.wait(), failed


def wait_for(pid):
    until = time.monotonic() + WAIT
    while time.monotonic() < until:
        try:
            os.kill(pid, 0)
        except OSError:
            return
        # A child of this one's parent that has ended, and was not waited for yet.
        try:
            with open(f"/proc/{pid}/stat") as stat:
                if stat.read().rsplit(")", 1)[1].split()[0] == "Z":
                    return
        except OSError:
            return
        time.sleep(1)


def main(arguments):
    beside = None
    if arguments[:1] == ["--beside"]:
        beside, arguments = int(arguments[1]), arguments[2:]
    clock = Clock()
    clock.start()
    code, failed = run([*arguments, "--no-fail-fast"])
    longest = clock.longest
    if code == 0:
        return 0
    targets = [target_of(source or "") for source, _ in failed]
    if not failed or None in targets:
        return 1
    if longest < STILL or len(failed) > MOST:
        print(f"{len(failed)} tests failed; the machine stood still for {longest:.3f} s at most: none is run again")
        return 1
    if beside:
        wait_for(beside)
    print(f"\nthe machine stood still for up to {longest:.3f} s: {len(failed)} tests are run again, alone", flush=True)
    still = [
        name
        for target, (_, name) in zip(targets, failed)
        if run([*arguments, *target, "--", "--exact", name, "--test-threads", "1"])[0] != 0
    ]
    for _, name in failed:
        print(f"repeated: {name}: {'failed again' if name in still else 'passed'}")
    return 1 if still else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
