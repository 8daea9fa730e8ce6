"""A run over many machines: eight workers, a coordinator and a NATS server as processes, on two versions of the server.

Each share's clients make a number of attempts that the scenario fixes, so a number that is wrong, or counted twice, is seen. Any of the processes is killed
or stopped at a random moment; strangers say what they like; secrets are looked for in all that goes over NATS or is written. `RESURGE_KILLS=100` kills more.
"""

import base64
import contextlib
import csv
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from cluster import LONGEST, NEW, OLD, SHARES, accounts, check_books, check_nothing_left, check_whole, cluster, scenario, served, sum_of, until, wired
from nats_credentials import Credentials
from processes import RESURGE, UNTIMED, free_port, started

KILLS = int(os.environ.get("RESURGE_KILLS", "4"))
# How long the runs are of which something is killed, and how many clients they have.
DURATION, CLIENTS = 6, 80
# NATS is away, or has nothing of what is asked for.
AWAY = 75
# How long a worker is waited for that says nothing.
LOST_AFTER = 10
# When all have left and come back: see `scenario`.
STORMS = range(1, DURATION - 1)


def planned(clients=CLIENTS, duration=DURATION):
    """How many attempts a run makes: each client at the start, and after each storm."""
    return clients * (duration - 1)


def check_plan(report, clients=CLIENTS, duration=DURATION, without=0):
    """All attempts were made but those of `without` clients, and each was counted once. On a busy machine a client may still be on its way when all leave, which
    is then no reason for another attempt: a few less are fine, and none too many. A share that is missing, or there twice, is more than that."""
    most, counted = planned(clients, duration), sum_of(report)
    least = planned(clients - without, duration) * (1 - 0.4 / SHARES)
    outcomes = sum(count for outcome, count in counted.items() if outcome not in ("attempts", "sessions"))
    assert least <= counted["attempts"] <= most and outcomes == counted["attempts"] and set(counted) <= {"attempts", "sessions", "ok", "aborted"}, (counted, most)


def whole(binary):
    """A run of which nothing goes wrong."""
    with served(binary) as server, cluster(server, scenario(4)) as run:
        run.begin()
        report = check_whole(run)
        check_plan(report, duration=4)
        code, own = run.merge_own()
        assert code == 0 and accounts(own) == accounts(report), (code, sum_of(own))
        # What there was to say, and no warning.
        said = run.err().splitlines()
        assert len(said) == 2 and f"run {run.name} waits for {SHARES} workers" in said[0] and said[1].startswith("run folder: "), said
        for index in run.workers:
            said = run.err(f"worker-{index}")
            assert f"share {index}/{SHARES} of run {run.name}" in said and "the coordinator has the journal" in said, said
            assert len(said.splitlines()) == 2, said
        check_nothing_left(server)


def check_whole_run_on_the_newest_server():
    """Exact books, equal journals, and nothing left on the server."""
    whole(NEW)


def check_whole_run_on_an_old_server():
    """The same with the server of Debian 12."""
    whole(OLD)


# What is killed, and what comes of it.


def wait_for(moment):
    """Waits until a moment in Unix time."""
    time.sleep(max(0.0, moment - time.time()))


def lost(report):
    """The shares that a report names as lost."""
    return {entry["shard"]: entry for entry in report["shards"]["lost"]}


def seconds_of(run, folders, name):
    """For how many seconds there are numbers in journals."""
    run.merge(folders, name)
    with open(run.home / name / "timeseries.csv", newline="") as file:
        return max((int(row["second"]) for row in csv.DictReader(file)), default=-1) + 1


def attempts_by(second):
    """How many attempts a share has made when so many seconds are over."""
    return CLIENTS // SHARES * (1 + sum(storm < second for storm in STORMS)) if second > 0 else 0


def kill_worker(chosen, binary):
    """The others end as planned; what it told stays, its own journal has no more than a second less than it did."""
    victim, after = chosen.randint(1, SHARES), chosen.uniform(0.3, DURATION - 0.5)
    with served(binary) as server, cluster(server, scenario(DURATION)) as run:
        start = run.begin()
        wait_for(start + after)
        run.workers[victim].kill()
        lived = time.time() - start
        lead, workers = run.end()
        assert lead == 111, (lead, run.told())
        assert workers.pop(victim) == -signal.SIGKILL and not any(workers.values()), (workers, run.told())
        report, said = run.report(), run.err()
        assert set(lost(report)) == {victim}, report["shards"]
        assert f"shard {victim} of {SHARES} is lost" in said and f"shard {victim} of {SHARES} has said nothing" in said, said
        assert len(re.findall("is lost", said)) == 1, said
        own, copy = run.journal(victim), run.copy(victim)
        assert own.startswith(copy), "the copy of a journal is no part of it"
        for index in workers:
            assert run.copy(index) == run.journal(index), f"the copy of share {index}'s journal differs"
        # Those that are left made all their attempts; of its own those are counted that its journal or its copy has.
        code, merged = run.merge_copies()
        assert code == 111 and accounts(merged) == accounts(report), (sum_of(merged), sum_of(report))
        code, whole = run.merge_own()
        assert code == 111, code
        _, others = run.merge([run.home / f"worker-{index}" for index in workers], "others")
        check_plan(others, without=CLIENTS // SHARES)
        least, most = attempts_by(int(lived - 1)), attempts_by(lived)
        for told in (report, whole):
            assert least <= sum_of(told)["attempts"] - sum_of(others)["attempts"] <= most, (victim, lived, sum_of(told))
        assert sum_of(whole)["attempts"] >= sum_of(report)["attempts"], (sum_of(whole), sum_of(report))
        if own:
            seconds = seconds_of(run, [run.home / f"worker-{victim}"], "alone")
            assert seconds >= int(lived - 1), (seconds, lived)
        check_nothing_left(server)


def kill_coordinator(chosen, binary):
    """The workers end as planned, and `resurge merge` makes the whole run of their journals."""
    after = chosen.uniform(0.3, DURATION - 0.5)
    with served(binary) as server, cluster(server, scenario(DURATION)) as run:
        start = run.begin(worker=["--upload-within", "2s"])
        wait_for(start + after)
        run.lead.kill()
        lead, workers = run.end(DURATION + 30)
        assert lead == -signal.SIGKILL and set(workers.values()) == {111}, (lead, workers, run.told())
        for index in workers:
            assert f"resurge merge takes {run.home / f'worker-{index}'}" in run.err(f"worker-{index}"), run.err(f"worker-{index}")
            assert run.journal(index).startswith(run.copy(index)), f"the copy of share {index}'s journal is no part of it"
        code, report = run.merge_own()
        assert code == 0 and not lost(report), (code, report["shards"])
        check_books(report)
        check_plan(report)


def kill_server(chosen, binary):
    """It comes back after 2 s with what it had on its disk; nothing is lost."""
    after = chosen.uniform(0.3, DURATION - 0.5)
    with served(binary) as server, cluster(server, scenario(DURATION)) as run:
        start = run.begin()
        wait_for(start + after)
        server.kill()
        time.sleep(2)
        server.start()
        report = check_whole(run)
        check_plan(report)
        assert "is lost" not in run.err(), run.err()
        check_nothing_left(server)


def stop_worker(chosen, binary):
    """For 5 s: it is told that it is silent, and that it is heard again; nothing is lost."""
    victim, after = chosen.randint(1, SHARES), chosen.uniform(0.3, DURATION - 1.5)
    with served(binary) as server, cluster(server, scenario(DURATION)) as run:
        start = run.begin()
        wait_for(start + after)
        run.workers[victim].send_signal(signal.SIGSTOP)
        time.sleep(5)
        run.workers[victim].send_signal(signal.SIGCONT)
        lead, workers = run.end()
        said = run.err()
        assert lead in (0, 110) and not any(workers.values()), (lead, workers, run.told())
        assert f"shard {victim} of {SHARES} has said nothing for" in said and f"shard {victim} of {SHARES} is heard again" in said, said
        assert "is lost" not in said, said
        report = check_whole(run, (0, workers))
        check_plan(report, without=CLIENTS // SHARES)
        _, own = run.merge_own()
        assert accounts(own) == accounts(report), (sum_of(own), sum_of(report))
        check_nothing_left(server)


def killed(kind, share=4):
    """Repeats a kill with seeds of its own, on either server; a seed is told where it fails."""
    for turn in range(max(1, KILLS // share)):
        seed = random.randrange(2**32)
        binary = NEW if seed % 2 else OLD
        try:
            kind(random.Random(seed), binary)
        except Exception as error:
            raise AssertionError(f"turn {turn}, seed {seed}, {Path(binary).parent}: {error}") from error


def check_worker_killed():
    """SIGKILL."""
    killed(kill_worker)


def check_coordinator_killed():
    """SIGKILL."""
    killed(kill_coordinator)


def check_name_of_a_dead_coordinator():
    """A name is used once, until nobody is heard of its run; who comes then takes it, and leaves nothing."""
    with served() as server, cluster(server, scenario(4, 8), shares=2) as run, wired(server) as wire:
        wire.subscribe(f"$KV.resurge_{run.name}.run")
        first = run.coordinate(name="first")
        until(lambda: wire.on(f"$KV.resurge_{run.name}.run"), "the run is published")
        check_refused(run, run.coordinate(name="used"), "used", 2, "there is a run")
        first.kill()
        run.lead = run.coordinate("--ready-within", "30s")
        late = until(lambda: "its name is free again" in run.err() or run.has_ended(), "the name is free", 30)
        assert late and not run.has_ended(), run.err()
        run.workers = {index: run.work(index) for index in (1, 2)}
        check_plan(check_whole(run), 8, 4)
        check_nothing_left(server)


def check_server_killed():
    """SIGKILL, and started again."""
    killed(kill_server)


def check_worker_stopped():
    """SIGSTOP, and SIGCONT."""
    killed(stop_worker)


# Three of its core's four quarters go to others.
BUSY = "import time\nend = time.monotonic() + 60\nwhile time.monotonic() < end: pass"


def check_busy_worker():
    """A worker that shares one core with three busy loops is neither silent nor lost."""
    core = str(max(os.sched_getaffinity(0)))
    with served() as server, cluster(server, scenario(DURATION), shares=3) as run, contextlib.ExitStack() as stack:
        with wired(server) as wire:
            wire.subscribe(f"$KV.resurge_{run.name}.order.>")
            run.lead = run.coordinate()
            for index in (1, 2, 3):
                run.workers[index] = run.work(index, prefix=["taskset", "-c", core] if index == 2 else ())
            run.started(wire)
        for _ in range(3):
            stack.enter_context(started(["taskset", "-c", core, sys.executable, "-c", BUSY]))
        report = check_whole(run)
        check_plan(report)
        assert "has said nothing" not in run.err() and "is lost" not in run.err(), run.err()


def check_without_coordinator():
    """`--orphan-grace 2s`: who hears nothing of the coordinator for so long stops at once, and its journal can be merged."""
    duration = 20
    with served() as server, cluster(server, scenario(duration, 20), shares=2) as run:
        start = run.begin(worker=["--orphan-grace", "2s", "--upload-within", "1s"])
        wait_for(start + 2)
        run.lead.kill()
        _, workers = run.end()
        assert time.time() < start + duration - 5 and set(workers.values()) == {111}, (time.time() - start, workers, run.told())
        for index in workers:
            said = run.err(f"worker-{index}")
            assert "nothing was heard of the coordinator for" in said and "resurge merge takes" in said, said
        _, report = run.merge_own()
        assert 3 * 20 <= sum_of(report)["attempts"] < planned(20, duration) and report["accounting"]["closes"], sum_of(report)


def check_replaced_before_the_start():
    """A worker that dies before the start is no longer ready, and is replaced by another of its index; the run is whole, and nothing of the dead one counts."""
    with served() as server, cluster(server, scenario(4, 20), shares=2) as run, wired(server) as wire:
        wire.subscribe(f"resurge.{run.name}.report.>")
        wire.subscribe(f"$KV.resurge_{run.name}.order.>")
        run.lead = run.coordinate()
        dead = run.work(1, name="dead")
        until(lambda: wire.on(f"resurge.{run.name}.report.1"), "share 1 is ready")
        dead.kill()
        # It is noticed by its silence.
        time.sleep(5)
        run.workers[2] = run.work(2)
        until(lambda: wire.on(f"resurge.{run.name}.report.2"), "share 2 is ready")
        time.sleep(0.5)
        assert not wire.on(f"$KV.resurge_{run.name}.order"), "the run begins without share 1"
        run.workers[1] = run.work(1)
        run.started(wire)
        report = check_whole(run)
        check_plan(report, 20, 4)
        assert "is taken over" in run.err("worker-1"), run.err("worker-1")
        check_nothing_left(server)


def check_fewer_workers():
    """`--min-workers`: begins with those that are there, and says who is not; without it, nobody begins, and who is missing is named."""
    with served() as server, cluster(server, scenario(4, 30), shares=3) as run:
        run.lead = run.coordinate("--min-workers", "2", "--ready-within", "3s")
        for index in (1, 3):
            run.workers[index] = run.work(index)
        lead, workers = run.end()
        report = run.report()
        assert not any(workers.values()) and not lost(report) and [entry["shard"] for entry in report["shards"]["absent"]] == [2], (lead, report["shards"], run.told())
        assert report["shards"]["held"] == [1, 3] and lead == 0, (lead, report["verdict"], report["shards"])
        check_books(report)
        check_plan(report, 20, 4)
        assert run.work(2, "--wait", "1s", name="late").wait(LONGEST) == AWAY, run.err("late")
        check_nothing_left(server)
    with served() as server, cluster(server, scenario(4, 30), shares=3) as run:
        run.lead = run.coordinate("--ready-within", "3s")
        for index in (1, 3):
            run.workers[index] = run.work(index)
        lead, workers = run.end()
        assert lead == 111 and set(workers.values()) == {AWAY} and "2" in run.err().splitlines()[-1], (lead, workers, run.told())
        assert not any((run.home / name).exists() for name in ("whole", "worker-1", "worker-3")), "a folder is left"
        check_nothing_left(server)


def check_late_start():
    """A worker that hears of the start when it is over does not begin: it says so, and the run says that it is incomplete."""
    with served() as server, cluster(server, scenario(DURATION, 20), shares=2) as run, wired(server) as wire:
        wire.subscribe(f"resurge.{run.name}.report.>")
        wire.subscribe(f"$KV.resurge_{run.name}.order.>")
        run.lead = run.coordinate()
        run.workers[1] = run.work(1)
        until(lambda: any(b'"ready"' in message.payload for message in wire.on(f"resurge.{run.name}.report.1")), "share 1 is ready")
        run.workers[1].send_signal(signal.SIGSTOP)
        run.workers[2] = run.work(2)
        wait_for(run.started(wire) + 1)
        run.workers[1].send_signal(signal.SIGCONT)
        lead, workers = run.end()
        assert lead == 111 and workers == {1: AWAY, 2: 0}, (lead, workers, run.told())
        assert "is not begun late" in run.err("worker-1") and set(lost(run.report())) == {1}, (run.err("worker-1"), run.report()["shards"])
        _, other = run.merge([run.home / "worker-2"], "other")
        assert accounts(other) == accounts(run.report()), (sum_of(other), sum_of(run.report()))
        check_nothing_left(server)


def check_one_run_a_target():
    """A second run on a target that is under load is refused, and told by whom; `--share-target` allows it; the target is free again afterwards."""
    with served() as server, started([sys.executable, "-c", SERVICE, "token"]) as service:
        text = TOGETHER.format(port=service.stdout.readline().split()[0], clients=2).replace('"1s"', '"4s"') + UNTIMED
        with cluster(server, text, shares=1, environment={"WHO": "of-1"}) as run, cluster(server, text, shares=1, environment={"WHO": "of-1"}) as other:
            run.begin()
            refused = other.coordinate(name="refused")
            assert refused.wait(LONGEST) == AWAY and f"is under load by run `{run.name}`" in other.err("refused"), other.err("refused")
            assert not (other.home / "refused").exists(), "it has left a folder"
            other.begin(lead=["--share-target"])
            assert run.end() == (0, {1: 0}) and other.end() == (0, {1: 0}), (run.told(), other.told())
        with cluster(server, text, shares=1, environment={"WHO": "of-1"}) as run:
            run.begin()
            run.lead.send_signal(signal.SIGINT)
            lead, workers = run.end()
            assert lead == 105 and workers == {1: 0}, (lead, workers, run.told())
        check_nothing_left(server)


# Those who do not belong to the run.


def stranger_says(wire, run, epochs, journals):
    """Whatever comes to one's mind on every subject of a run."""
    name, chosen = run.name, random.Random(run.name)
    report, beat = f"resurge.{name}.report", f"resurge.{name}.beat"
    kinds = ['{"report":"done","reason":"completed","unwritten":null}', '{"report":"failed","exit_code":1,"message":"forged"}', '{"report":"ready"}']
    kinds += ['{"report":"sealed","length":1,"reason":"completed"}', '{"order":"abort"}', "[]", "null", '"ready"', "{", ""]
    payloads = [text.encode() for text in kinds] + [chosen.randbytes(size) for size in (1, 3, 40, 5_000, 400_000)]
    said = 0
    for share, epoch in epochs.items():
        # Whoever has not taken that share: another epoch, or none.
        for wrong in (epoch - 1, epoch + 1, 0, 2**64, -1, "x", ""):
            payload = chosen.choice(payloads)
            wire.publish(f"{report}.{share}", payload, {"Resurge-Epoch": wrong})
            wire.publish(f"{report}.{share}", payload, {"Resurge-Epoch": wrong, "Resurge-At": chosen.choice([0, 8, 10**6, "x", -1, 2**64])})
            wire.publish(f"{report}.{share}", journals[share], {"Resurge-Epoch": wrong, "Resurge-At": 0})
            said += 3
        wire.publish(f"{report}.{share}", chosen.choice(payloads))
        wire.publish(f"{report}.{share}", b"{}", b"NATS/1.0\r\nResurge-Epoch:\r\n\r\n")
        wire.publish(f"{beat}.{share}", chosen.randbytes(100_000))
        # In its own epoch: what has come already; what is no report; what has no place.
        own = {"Resurge-Epoch": epoch}
        if journals[share]:
            wire.publish(f"{report}.{share}", journals[share], own | {"Resurge-At": 0})
            wire.publish(f"{report}.{share}", journals[share][:100], own | {"Resurge-At": 0})
            wire.publish(f"{report}.{share}", journals[share][8:400], own | {"Resurge-At": 8})
        wire.publish(f"{report}.{share}", b"no report", own)
        wire.publish(f"{report}.{share}", b"\x00" * 64, own | {"Resurge-At": 10**9})
        said += 7
    for share in (0, len(epochs) + 1, 2**32, "x", "*"):
        for subject in (report, beat):
            if share != "*":
                wire.publish(f"{subject}.{share}", chosen.choice(payloads), {"Resurge-Epoch": 1, "Resurge-At": 0})
                said += 1
    for payload in payloads:
        wire.publish(f"resurge.{name}.time", payload)
        wire.publish(f"resurge.{name}.time", payload, reply=f"resurge.{name}.beat.1")
        wire.publish(f"resurge.{name}.time", payload, reply=f"resurge.{name}.time")
        wire.publish(f"resurge.{name}.refused", payload + b"\x1b[2J\r\n\x07")
        wire.publish(f"resurge.{name}.{chosen.randrange(10**6)}", payload)
        said += 5
    for key in ("order.x", "order.all.x", "order.all.99999999", "order.1.99999999", "claim.0", "claim.x", "other"):
        wire.publish(f"$KV.resurge_{name}.{key}", b'{"order":"abort"}' if key == "order.1.99999999" else chosen.choice(payloads))
        said += 1
    wire.flush()
    return said


def epochs_of(wire, run):
    """The revision of each share's claim, by share; as the server tells it."""
    found = {}
    for share in range(1, run.shares + 1):
        question = json.dumps({"last_by_subj": f"$KV.resurge_{run.name}.claim.{share}"}).encode()
        answer = json.loads(wire.request(f"$JS.API.STREAM.MSG.GET.KV_resurge_{run.name}", question).payload)
        found[share] = answer["message"]["seq"]
    return found


def check_strangers_of_a_run():
    """A second coordinator, workers too many and twice, another epoch, and garbage on every subject: named, and not counted."""
    duration = 6
    with served() as server, cluster(server, scenario(duration, 40), shares=4) as run, wired(server) as wire:
        start = run.begin()
        others = {
            "second": (run.coordinate(name="second"), 2, "there is a run"),
            "taken": (run.work(2, name="taken"), 2, "share 2 of 4 was taken by"),
            "many": (run.work(None, name="many"), 2, "all 4 shares are taken"),
            "no-share": (run.work(5, name="no-share"), 2, "there is no share 5"),
        }
        epochs = epochs_of(wire, run)
        for moment in (0.5, 2.2, 3.9):
            wait_for(start + moment)
            stranger_says(wire, run, epochs, {share: (run.copy(share) or b"RSRGJR") for share in epochs})
        report = check_whole(run)
        check_plan(report, 40, duration)
        for name, (process, code, text) in others.items():
            assert process.wait(LONGEST) == code and text in run.err(name), (name, process.returncode, run.err(name))
            assert not (run.home / name).exists(), f"{name} has left a folder"
        said = run.err()
        for share, epoch in epochs.items():
            for text in (f"report.{share} in epoch {epoch - 1} does not count", f"report.{share} does not count: it says no epoch"):
                assert text in said, (text, said[:3000])
        assert "an order that is not the coordinator's does not count" in run.err("worker-1"), run.err("worker-1")
        for text in ("there is no such share", "a worker is not taken: ", "share 2 of 4 was taken", "all 4 shares are taken", "there is no share 5"):
            assert text in said, (text, said[:3000])
        assert not wire.faults, wire.faults
        control = set(said) & {chr(code) for code in range(32) if chr(code) not in "\n\t"}
        assert not control, f"control characters reach the terminal: {control}"
        check_nothing_left(server)


def check_garbage_in_the_right_epoch():
    """Bytes of somebody who knows a worker's epoch, where its next piece belongs: refused, and the copy becomes whole all the same."""
    with served() as server, cluster(server, scenario(DURATION, 20), shares=2) as run, wired(server) as wire:
        start = run.begin()
        epochs, chosen = epochs_of(wire, run), random.Random(run.name)
        for turn in range(40):
            wait_for(start + 0.5 + turn * 0.1)
            for share, epoch in epochs.items():
                garbage = chosen.randbytes(chosen.choice([1, 3, 4, 9, 40, 2_000]))
                wire.publish(f"resurge.{run.name}.report.{share}", garbage, {"Resurge-Epoch": epoch, "Resurge-At": len(run.copy(share))})
        report = check_whole(run)
        check_plan(report, 20)


def spec_of(run, **forged):
    """What a coordinator publishes of a run, as a real one does, with other values."""
    with cluster(run.server, run.file.read_text(), shares=1) as real, wired(run.server) as wire:
        wire.subscribe(f"$KV.resurge_{real.name}.run")
        lead = real.coordinate("--ready-within", "2s")
        spec = json.loads(until(lambda: wire.on(f"$KV.resurge_{real.name}.run"), "the run is published")[0].payload)
        lead.kill()
        lead.wait(LONGEST)
    return spec | forged


def check_other_version():
    """A worker does not take a share of a run of another version, protocol or scenario."""
    forged = {
        "tool_version": ("9.9.9", "is led by resurge 9.9.9, and this is resurge"),
        "protocol": (99, "use the same"),
        "hash": ("0123456789abcdef", "the scenario means something else here"),
        "text": ('name = "x"', ""),
        "workers": ("many", "another version"),
    }
    with served() as server, cluster(server, scenario(4, 2), shares=1) as run, wired(server) as wire:
        spec = spec_of(run)
        for key, (value, text) in forged.items():
            run.name = f"forged-{key}"
            bucket = f"resurge_{run.name}"
            stream = {"name": f"KV_{bucket}", "subjects": [f"$KV.{bucket}.>"], "max_msgs_per_subject": 1, "storage": "file", "retention": "limits",
                      "discard": "new", "allow_rollup_hdrs": True, "deny_delete": True, "allow_direct": True, "num_replicas": 1}
            answer = json.loads(wire.request(f"$JS.API.STREAM.CREATE.KV_{bucket}", json.dumps(stream).encode()).payload)
            assert "error" not in answer, answer
            wire.request(f"$KV.{bucket}.run", json.dumps(spec | {key: value}).encode())
            wire.answer(f"resurge.{run.name}.time", lambda: json.dumps({"heard_ns": time.time_ns(), "told_ns": time.time_ns()}).encode())
            worker = run.work(1, "--wait", "5s", name=run.name)
            code = worker.wait(LONGEST)
            assert code not in (0, -6, 101) and text in run.err(run.name), (key, code, run.err(run.name))
            assert "panicked" not in run.err(run.name) and not (run.home / run.name).exists(), (key, run.err(run.name))


# What cannot be.


def check_bad_input():
    """Each fault has its sentence and its exit code, and nothing is left behind."""
    with served() as server, cluster(server, scenario(4, 2), shares=1) as run:
        nowhere = f"nats://127.0.0.1:{free_port()}"
        user = 'authorization { user: "right", password: "pass-word-1" }'
        with served(config=user) as guarded, served(jetstream=False) as plain:
            # Which server, more arguments, the code, and what is said.
            rows = [
                (nowhere, [], AWAY, "no NATS server answers at"),
                (guarded.url(), [], 77, "does not let us in"),
                (guarded.url("right:pass-word-2"), [], 77, "does not let us in"),
                (plain.url(), [], AWAY, "has no JetStream"),
                ("nats://10.255.255.1:4222", [], 77, "plain text"),
                ("nats://u:p@10.255.255.1:4222", [], 77, "plain text"),
                ("tls://10.255.255.1:4222", [], 77, "open to anybody"),
                ("http://127.0.0.1:4222", [], 2, "nats://HOST:4222"),
                (server.url(), ["--workers", "0"], 2, "--workers"),
                (server.url(), ["--nats-creds", "/no/such/file"], 77, "/no/such/file"),
                (server.url(), ["--nats-creds", str(run.file)], 77, "holds no credentials"),
                (server.url(), ["--ready-within", "1s"], 111, "1"),
            ]
            for number, (url, more, code, text) in enumerate(rows):
                name, command = f"lead-{number}", [RESURGE, "run", str(run.file), "--cluster", url, "--run", f"bad-{number}"]
                command += ["--out", str(run.home / name), "--progress", "none", *more]
                command += [] if "--workers" in more else ["--workers", "1"]
                check_refused(run, run.start(command, name), name, code, text)
            for number, (url, more, code, text) in enumerate(rows[:7]):
                name = f"worker-of-{number}"
                command = [RESURGE, "worker", "--cluster", url, "--run", f"bad-{number}", "--wait", "2s", "--out", str(run.home / name), *more]
                check_refused(run, run.start(command, name), name, code, text)
            check_refused(run, run.work(1, "--wait", "1s", name="no-run"), "no-run", AWAY, "there is no run")
            check_nothing_left(guarded, "right", "pass-word-1")
        check_nothing_left(server)


def check_refused(run, process, name, code, text):
    """A program has ended with a code and a sentence, and left no folder."""
    found, said = process.wait(LONGEST), run.err(name)
    assert found == code and text in said, (name, found, code, said)
    assert "pass-word" not in said and "panicked" not in said and not (run.home / name).exists(), (name, said)


def check_full_disk():
    """A server whose store is full before a run is refused with a sentence; one that fills up during it and has room again loses nothing."""
    with served(jetstream="max_file_store: 100") as server, cluster(server, scenario(4, 2), shares=1) as run:
        lead = run.coordinate("--ready-within", "2s")
        code, said = lead.wait(LONGEST), run.err()
        assert code not in (0, 101) and "NATS" in said and not (run.home / "whole").exists(), (code, said)
        check_nothing_left(server)
    with served(jetstream="max_file_store: 4MB") as server, cluster(server, scenario(DURATION, 20), shares=2) as run, wired(server) as wire:
        start = run.begin()
        config = {"name": "FILLER", "subjects": ["filler"], "storage": "file", "retention": "limits"}
        answer = json.loads(wire.request("$JS.API.STREAM.CREATE.FILLER", json.dumps(config).encode()).payload)
        assert "error" not in answer, answer
        full = False
        while not full:
            full = "error" in json.loads(wire.request("filler", bytes(100_000)).payload)
        for size in (10_000, 1_000, 100, 1):
            while "error" not in json.loads(wire.request("filler", bytes(size)).payload):
                pass
        wait_for(start + 4)
        wire.request("$JS.API.STREAM.DELETE.FILLER")
        report = check_whole(run)
        check_plan(report, 20)
        check_nothing_left(server)


def check_small_messages():
    """A server that takes smaller messages than a piece of a journal may be: the run goes well, or is refused with a sentence."""
    with served(config="max_payload: 4096") as server, cluster(server, scenario(4, 200), shares=2) as run:
        run.lead = run.coordinate("--ready-within", "10s")
        for index in (1, 2):
            run.workers[index] = run.work(index, "--upload-within", "3s")
        lead, workers = run.end()
        if lead == 0:
            check_plan(check_whole(run, (lead, workers)), 200, 4)
        else:
            assert "max_payload" in run.err() or "too small" in run.err(), (lead, workers, run.told())
        check_nothing_left(server)


# One start, and no secret.

# Notes by the real clock when each client's connection is accepted, and issues tokens that are known here.
SERVICE = """
import asyncio, http.server, sys, threading, time
from websockets.asyncio.server import ServerConnection, serve

class Tokens(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    count = 0

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        Tokens.count += 1
        body = ('{"access_token": "%s-%d", "token_type": "bearer", "expires_in": 3600}' % (sys.argv[1], Tokens.count)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

class Noted(ServerConnection):
    def connection_made(self, transport):
        self.accepted = time.time()
        super().connection_made(transport)

async def session(connection):
    print("session", connection.request.headers.get("Authorization", "").removeprefix("Bearer "), connection.accepted, flush=True)
    await connection.wait_closed()

async def main():
    tokens = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Tokens)
    threading.Thread(target=tokens.serve_forever, daemon=True).start()
    async with serve(session, "127.0.0.1", 0, create_connection=Noted, ping_interval=None) as server:
        print(server.sockets[0].getsockname()[1], tokens.server_address[1], flush=True)
        await asyncio.sleep(120)

asyncio.run(main())
"""
TOGETHER = """
name = "together"
duration = "1s"
[target]
kind = "remote"
url = "ws://127.0.0.1:{port}/"
[[groups]]
name = "first"
clients = {clients}
start = "at-once"
token = {{ grant = "fixed", token = {{ env = "WHO" }} }}
"""
# How far the first starts of workers may lie apart.
TOGETHER_MS = 10
FAKED_S = 300


def faked(seconds):
    """The environment in which a program's calendar is off by so much, and its other clocks are not."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    assert found, "libfaketime is not there: install the package faketime"
    return {"LD_PRELOAD": str(found[0]), "FAKETIME": f"{seconds:+}s", "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"}


def first_starts(shares):
    """Runs one client of each of so many workers, whose calendars are minutes apart; answers with when each came, by share, and the run."""
    with served() as server, started([sys.executable, "-c", SERVICE, "token"]) as service:
        port = service.stdout.readline().split()[0]
        with cluster(server, TOGETHER.format(port=port, clients=shares) + UNTIMED, shares=shares) as run, wired(server) as wire:
            wire.subscribe(f"$KV.resurge_{run.name}.order.>")
            run.lead = run.coordinate()
            offsets = {index: (index % 3 - 1) * FAKED_S for index in range(1, shares + 1)}
            for index, offset in offsets.items():
                run.workers[index] = run.work(index, environment={"WHO": f"of-{index}"} | (faked(offset) if offset else {}))
            run.started(wire)
            lead, workers = run.end()
            assert lead == 0 and not any(workers.values()), (lead, workers, run.told())
            report = run.report()
            known = {index: float(re.search(r"known to ([\d.]+) ms", run.err(f"worker-{index}"))[1]) for index in offsets}
        service.terminate()
        arrivals = {}
        for line in service.stdout:
            _, who, moment = line.split()
            arrivals.setdefault(int(who.removeprefix("of-")), float(moment))
    assert set(arrivals) == set(offsets), arrivals
    return arrivals, offsets, known, report


def check_starts_together():
    """Workers whose calendars are ten minutes apart begin within 10 ms, as another clock sees it; and none is less certain of the time than it says."""
    tries = []
    for _ in range(3):
        arrivals, offsets, known, report = first_starts(6)
        apart_ms = (max(arrivals.values()) - min(arrivals.values())) * 1e3
        workers = {worker["shard"]: worker for worker in report["shards"]["workers"]}
        assert set(workers) == set(offsets) and all(value <= 50 for value in known.values()), (workers, known)
        # By how much what each knows of the time is off, and by how much it says that it may be.
        off = {index: (abs(worker["clock_ahead_us"] + offsets[index] * 1e6), worker["clock_uncertainty_us"]) for index, worker in workers.items()}
        tries.append((apart_ms, off))
        # Calendars of minutes ahead or behind would show as minutes.
        assert apart_ms < 1_000 and all(error < 1e6 for error, _ in off.values()), (arrivals, off)
        if apart_ms <= TOGETHER_MS and all(error <= bound for error, bound in off.values()):
            return
    raise AssertionError(f"how many ms the first starts lie apart, and by how much clocks were off, of what was told: {tries}")


SECRETS = """
name = "canary"
duration = "3s"
[target]
kind = "remote"
url = "ws://127.0.0.1:{port}/"
token_url = "http://127.0.0.1:{tokens}/"
[[groups]]
name = "by-env"
clients = 2
token = {{ client_id = "one", client_secret = {{ env = "CANARY_OF_CHECK" }} }}
disconnects = [{{ after = "1s" }}]
[[groups]]
name = "by-file"
clients = 2
token = {{ client_id = "two", client_secret = {{ file = "{file}" }} }}
[[groups]]
name = "by-header"
clients = 2
token = {{ grant = "fixed", token = {{ env = "FIXED_OF_CHECK" }} }}
connect = {{ headers = {{ X-Api-Key = {{ env = "HEADER_OF_CHECK" }} }} }}
[[groups]]
name = "plain"
clients = 2
token = {{ client_id = "three", client_secret = "{plain}" }}
"""


def forms_of(secret):
    """A secret as it may be found in bytes: plain, in hex, and in base64 wherever it begins."""
    text = secret.encode()
    forms = {text, text.hex().encode(), text.hex().upper().encode(), text[::-1], text.decode().encode("utf-16-le")}
    for before in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            coded = encode(bytes(before) + text).rstrip(b"=")
            # What depends on bytes before and behind is left out.
            forms.add(coded[(before * 8 + 5) // 6 : -1])
    return forms


def check_no_secret_travels():
    """Secrets of a scenario, tokens and NATS's password are in no message, on no server's disk and in no file or output of a run."""
    secrets = {name: f"{name}-{random.randbytes(9).hex()}" for name in ("canaryenv", "canaryfile", "canaryfixed", "canaryheader", "canaryplain", "canarytoken", "natspass")}
    config = f'authorization {{ user: "checker", password: "{secrets["natspass"]}" }}'
    seen = {}
    with served(config=config) as server, started([sys.executable, "-c", SERVICE, secrets["canarytoken"]]) as service:
        port, tokens = service.stdout.readline().split()
        url = server.url(f"checker:{secrets['natspass']}")
        with cluster(server, "", shares=2, url=url) as run, wired(server, "checker", secrets["natspass"]) as wire:
            # Where the coordinator runs, none of the files and variables is.
            file = run.home / "secret.of-workers"
            run.file.write_text(SECRETS.format(port=port, tokens=tokens, file=file, plain=secrets["canaryplain"]) + UNTIMED)
            wire.subscribe(">")
            run.lead = run.coordinate("--attempts", environment={"RESURGE_LOG": "debug"})
            until(lambda: wire.on(f"$KV.resurge_{run.name}.run") or run.has_ended(), "the run is published")
            assert not run.has_ended(), run.told()
            file.write_text(secrets["canaryfile"])
            own = {"CANARY_OF_CHECK": secrets["canaryenv"], "FIXED_OF_CHECK": secrets["canaryfixed"], "HEADER_OF_CHECK": secrets["canaryheader"]}
            own |= {"RESURGE_PLAIN_CLIENT_SECRET": secrets["canaryplain"], "RESURGE_LOG": "debug"}
            for index in (1, 2):
                run.workers[index] = run.work(index, environment=own)
            while run.lead.poll() is None:
                # What the server takes away meanwhile is looked at in the next round.
                for folder, _, files in os.walk(server.store):
                    for path in (Path(folder) / file for file in files):
                        with contextlib.suppress(OSError):
                            seen[f"store {path.name} {path.stat().st_size}"] = path.read_bytes()
                time.sleep(0.1)
            lead, workers = run.end()
            assert lead == 0 and not any(workers.values()), (lead, workers, run.told())
            assert run.report()["accounting"]["all"]["outcomes"]["ok"] >= 8, run.report()["accounting"]["all"]
            for number, message in enumerate(wire.heard):
                seen[f"message {number} on {message.subject}"] = b"\n".join([message.subject.encode(), message.headers, message.payload])
            for path in run.home.rglob("*"):
                if path.is_file() and path not in (file, run.file):
                    seen[str(path.relative_to(run.home))] = path.read_bytes()
        seen["the server's log"] = server.said().encode()
    assert len([name for name in seen if name.startswith("message")]) > 50 and any(name.startswith("store") for name in seen), len(seen)
    # What is looked for would be found: the store has what was published.
    assert any(b"by-header" in data for name, data in seen.items() if name.startswith("store")), "the store was not read"
    found = [(secret, name) for secret, value in secrets.items() for form in forms_of(value) for name, data in seen.items() if form in data]
    assert not found, found[:10]


# Who may do what.

# The least that each needs, for a run of that name.
LEAST = """
authorization {{
  users = [
    {{ user: lead, password: "lead-pass", permissions: {{
      publish: [
        "$JS.API.INFO"
        "$JS.API.STREAM.CREATE.KV_resurge_{run}", "$JS.API.STREAM.INFO.KV_resurge_{run}", "$JS.API.STREAM.DELETE.KV_resurge_{run}"
        "$JS.API.STREAM.CREATE.RESURGE_{run}", "$JS.API.STREAM.DELETE.RESURGE_{run}"
        "$JS.API.DIRECT.GET.KV_resurge_{run}.>"
        "$JS.API.CONSUMER.CREATE.RESURGE_{run}.coordinator", "$JS.API.CONSUMER.INFO.RESURGE_{run}.coordinator"
        "$JS.API.CONSUMER.MSG.NEXT.RESURGE_{run}.coordinator", "$JS.ACK.RESURGE_{run}.coordinator.>"
        "$KV.resurge_{run}.run", "$KV.resurge_{run}.probe", "$KV.resurge_{run}.order.>"
        "resurge.{run}.lead"
        "_INBOX.>"
      ]
      subscribe: ["_INBOX.>", "resurge.{run}.beat.*", "resurge.{run}.lead", "resurge.{run}.time", "resurge.{run}.refused"]
    }} }}
    {{ user: work, password: "work-pass", permissions: {{
      publish: [
        "$JS.API.INFO"
        "$JS.API.STREAM.INFO.KV_resurge_{run}"
        "$JS.API.DIRECT.GET.KV_resurge_{run}.>"
        "$JS.API.CONSUMER.CREATE.KV_resurge_{run}", "$JS.API.CONSUMER.CREATE.KV_resurge_{run}.>", "$JS.API.CONSUMER.DELETE.KV_resurge_{run}.>"
        "$KV.resurge_{run}.claim.*"
        "resurge.{run}.report.*", "resurge.{run}.beat.*", "resurge.{run}.time", "resurge.{run}.refused"
      ]
      subscribe: ["_INBOX.>", "resurge.{run}.lead", "resurge.{run}.beat.*"]
    }} }}
    {{ user: checker, password: "check-pass" }}
  ]
}}
"""


def least(binary):
    """A run whose coordinator and workers may do no more than they need."""
    name = "least-1"
    with served(binary, config=LEAST.format(run=name)) as server, cluster(server, scenario(4, 20), shares=2, name=name) as run:
        with wired(server, "checker", "check-pass") as wire:
            wire.subscribe(f"$KV.resurge_{name}.order.>")
            run.url = server.url("lead:lead-pass")
            run.lead = run.coordinate()
            for index in (1, 2):
                run.workers[index] = run.work(index, "--upload-within", "5s", url=server.url("work:work-pass"))
            run.started(wire)
        check_plan(check_whole(run), 20, 4)
        # The server tells of each that tried more.
        assert "iolation" not in server.said(), re.findall(".*iolation.*", server.said())[:20]
        for text in run.told().values():
            assert "lead-pass" not in text and "work-pass" not in text, text
        check_nothing_left(server, "checker", "check-pass")


def check_least_permissions():
    """Both servers."""
    least(NEW)
    least(OLD)


def certificates(home):
    """An authority of our own, and a certificate of it for this machine: files."""
    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=home, check=True, capture_output=True, timeout=LONGEST)

    new = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    for name in ("authority", "other"):
        openssl(*new, "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}")
    names = ["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"]
    openssl(*new, "-keyout", "server.key", "-out", "server.pem", "-subj", "/CN=nats", "-CA", "authority.pem", "-CAkey", "authority.key", *names)


def encrypted(binary, home):
    """A run over TLS with an authority of its own, and a user in the address."""
    config = f'tls {{ cert_file: "{home}/server.pem", key_file: "{home}/server.key" }}\nauthorization {{ user: "one", password: "of-this-check" }}'
    with served(binary, config=config) as server:
        url = server.url("one:of-this-check", "tls")
        with cluster(server, scenario(4, 20), shares=2, url=url, link=["--nats-ca", f"{home}/authority.pem"]) as run:
            run.lead = run.coordinate()
            for index in (1, 2):
                run.workers[index] = run.work(index)
            check_plan(check_whole(run), 20, 4)
            assert not any("of-this-check" in text for text in run.told().values()), run.told()
        with cluster(server, scenario(4, 2), shares=1, url=url, link=["--nats-ca", f"{home}/other.pem"]) as run, cluster(server, "", shares=1, url=url) as none:
            check_refused(run, run.coordinate(), "whole", AWAY, "ertificate")
            check_refused(none, none.work(1, "--wait", "1s"), "worker-1", AWAY, "ertificate")


def check_encrypted():
    """Both servers; and a server of another authority is none."""
    with tempfile.TemporaryDirectory() as home:
        certificates(home)
        encrypted(NEW, home)
        encrypted(OLD, home)


def check_credentials_file():
    """`--nats-creds`: a user by a signed text and a key, which nobody is shown."""
    own = Credentials()
    with served(config=own.config) as server, tempfile.NamedTemporaryFile("w") as file:
        file.write(own.file())
        file.flush()
        with cluster(server, scenario(4, 20), shares=2, link=["--nats-creds", file.name]) as run:
            run.lead = run.coordinate()
            for index in (1, 2):
                run.workers[index] = run.work(index)
            check_plan(check_whole(run), 20, 4)
            assert not any(own.key.seed in text or own.jwt in text for text in run.told().values()), run.told()
        with cluster(server, scenario(4, 2), shares=1) as run:
            check_refused(run, run.coordinate(), "whole", 77, "does not let us in")
        check_nothing_left(server, answer=own.answer)


# Many workers: only where it is asked for.


def check_many_workers():
    """`RESURGE_CLUSTER_SCALE=200`: so many workers of 50 clients each; what the control plane costs is told."""
    count = int(os.environ.get("RESURGE_CLUSTER_SCALE", "0"))
    if not count:
        print("        SKIPPED: RESURGE_CLUSTER_SCALE says how many workers")
        return
    duration, clients = 20, 50 * count
    text = scenario(duration, clients, storms=[5, 12]).replace('messages_every = "200ms"', 'messages_every = "5s"').replace('over = "300ms"', 'over = "3s"')
    with served() as server, cluster(server, text, shares=count) as run, wired(server) as wire:
        wire.subscribe(f"$KV.resurge_{run.name}.>")
        run.lead = run.coordinate("--ready-within", "300s")
        began = time.monotonic()
        for index in range(1, count + 1):
            run.workers[index] = run.work(index, "--wait", "300s")
        claimed = until(lambda: len({m.subject for m in wire.on(f"$KV.resurge_{run.name}.claim")}) == count and time.monotonic(), "all have a share", 300)
        start = until(lambda: run.has_ended() or next((json.loads(m.payload) for m in wire.on(f"$KV.resurge_{run.name}.order.all")), None), "the run starts", 300)
        ready = time.monotonic()
        assert start is not True, run.err()
        ahead = start["unix_us"] / 1e6 - time.time()
        before, cpu, peak, rss = traffic(server), cpu_of(run.lead.pid), 0, 0
        wait_for(start["unix_us"] / 1e6)
        first = time.monotonic()
        before, cpu = traffic(server), cpu_of(run.lead.pid)
        while time.monotonic() < first + duration and not run.has_ended():
            rss = max(rss, rss_of(run.lead.pid))
            time.sleep(0.5)
        took = time.monotonic() - first
        after, used = traffic(server), cpu_of(run.lead.pid) - cpu
        lead, workers = run.end(300)
        print(f"        {count} workers: all had a share after {claimed - began:.1f} s, all ready {ready - claimed:.1f} s later, the start {ahead:.1f} s ahead")
        print(f"        the coordinator: {rss / 2**20:.0f} MiB, {100 * used / took:.1f} % of a core")
        print(f"        each worker and second: {(after[0] - before[0]) / took / count:.2f} messages, {(after[1] - before[1]) / took / count:.0f} bytes into the server")
        assert lead in (0, 110) and not any(workers.values()), (lead, [w for w in workers.items() if w[1]][:5], run.err()[-3000:])
        # So many processes of two cores: what crosses at the end is explained, and not exact.
        report = check_whole(run, (0, workers), is_exact=False)
        assert sum_of(report)["attempts"] == clients * 3, sum_of(report)
        assert ready - claimed < 5 and rss < 100 * 2**20 and used / took < 0.1, "the control plane costs too much"
        check_nothing_left(server)


def traffic(server):
    """How many messages and bytes a server has been sent."""
    with urllib.request.urlopen(f"http://127.0.0.1:{server.monitor}/varz", timeout=LONGEST) as answer:
        found = json.load(answer)
    return found["in_msgs"], found["in_bytes"]


def cpu_of(pid):
    """How many seconds of a core a process has used."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def rss_of(pid):
    """How much memory a process has, in bytes."""
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


# Those that take longest are first.
CHECKS = [
    check_worker_killed,
    check_server_killed,
    check_coordinator_killed,
    check_worker_stopped,
    check_full_disk,
    check_replaced_before_the_start,
    check_name_of_a_dead_coordinator,
    check_fewer_workers,
    check_late_start,
    check_one_run_a_target,
    check_without_coordinator,
    check_strangers_of_a_run,
    check_garbage_in_the_right_epoch,
    check_least_permissions,
    check_encrypted,
    check_credentials_file,
    check_whole_run_on_the_newest_server,
    check_whole_run_on_an_old_server,
    check_busy_worker,
    check_no_secret_travels,
    check_starts_together,
    check_small_messages,
    check_other_version,
    check_bad_input,
    check_many_workers,
]
