"""A real Prometheus scrapes a run under way, and what it has at the end is what run.json has; promtool finds nothing to mend.

The queries of the Grafana dashboard are valid, and bring numbers. Needs Debian's package `prometheus`.
"""

import contextlib
import json
import math
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from processes import LONGEST, RESURGE, ROOT, UNTIMED, UNTIMED_SETS, free_port, started

CONFIG = """
global: {{ scrape_interval: 1s }}
scrape_configs:
  - job_name: resurge
    static_configs: [{{ targets: ["{target}"] }}]
"""
SCENARIO = """
duration = "9s"
[target]
idle_timeout = "2s"
messages_every = "500ms"
[[groups]]
name = "fresh"
clients = 60
[groups.token]
client_id = "demo-client"
client_secret = "demo-secret"
on_reconnect = "fetch"
[groups.reconnect]
backoff = { kind = "constant", base = "50ms" }
[[groups]]
name = "stale"
clients = 20
[groups.token]
client_id = "demo-client"
client_secret = "demo-secret"
on_reconnect = "reuse"
[groups.reconnect]
backoff = { kind = "constant", base = "500ms" }
[[storms]]
at = "4s"
by = "target"
code = 1012
"""


def get(url, **headers):
    """What is there."""
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


@contextlib.contextmanager
def prometheus(home, metrics):
    """A Prometheus of its own that scrapes this address each second; answers with its own."""
    config = home / "prometheus.yml"
    config.write_text(CONFIG.format(target=metrics))
    subprocess.run(["promtool", "check", "config", str(config)], check=True, capture_output=True, timeout=LONGEST)
    address = f"127.0.0.1:{free_port()}"
    command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={home / 'data'}", f"--web.listen-address={address}", "--log.level=warn"]
    with started(command, stderr=subprocess.DEVNULL):
        yield address


def query(address, expression, at=None):
    """The result of an instant query."""
    form = {"query": expression, **({"time": str(at)} if at else {})}
    _, text = get(f"http://{address}/api/v1/query?{urllib.parse.urlencode(form)}")
    answer = json.loads(text)
    assert answer["status"] == "success", (expression, answer)
    return answer["data"]["result"]


def wait_until(what, condition):
    """Waits for something to be so, a while at most."""
    end = time.monotonic() + LONGEST
    while time.monotonic() < end:
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            if condition():
                return
        time.sleep(0.1)
    raise AssertionError(f"it never came to: {what}")


def check_text(metrics):
    """promtool has nothing to say of either text, and the content types are those that were asked for."""
    content_type, text = get(f"http://{metrics}/metrics")
    assert content_type.startswith("text/plain; version=0.0.4"), content_type
    found = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=LONGEST)
    assert found.returncode == 0 and not found.stdout and not found.stderr, found
    content_type, text = get(f"http://{metrics}/metrics", Accept="application/openmetrics-text;version=1.0.0")
    assert content_type.startswith("application/openmetrics-text; version=1.0.0") and text.endswith("# EOF\n"), content_type
    for path, method, status in (("/other", "GET", 404), ("/metrics", "POST", 405)):
        try:
            urllib.request.urlopen(urllib.request.Request(f"http://{metrics}{path}", method=method), timeout=10)
            raise AssertionError(f"{method} {path} was answered")
        except urllib.error.HTTPError as error:
            assert error.code == status, error


def check_final_numbers(address, value):
    """What Prometheus has last is what run.json has."""
    def last(expression, *labels):
        result = query(address, expression)
        return {tuple(row["metric"].get(label, "") for label in labels): float(row["value"][1]) for row in result}

    compared = 0
    # Prometheus stores what it has read a moment after it has read it.
    wait_until("the last numbers in Prometheus", lambda: list(last("last_over_time(resurge_run_finished[5m])").values()) == [1])
    attempts = last("sum by (group, outcome) (last_over_time(resurge_attempts_total[5m]))", "group", "outcome")
    ended = last("sum by (group) (last_over_time(resurge_sessions_ended_total[5m]))", "group")
    percentiles = last("last_over_time(resurge_reconnect_latency_percentile_seconds[5m])", "group", "percentile")
    buckets = last("last_over_time(resurge_reconnect_latency_seconds_bucket[5m])", "group", "le")
    for group in value["accounting"]["groups"]:
        name = group["group"]
        for outcome, count in group["outcomes"].items():
            assert attempts.pop((name, outcome)) == count, (name, outcome, count)
            compared += 1
        assert ended[(name,)] == group["closes"]
        for counter, count in group["counters"].items():
            metric = {"bytes_in": "received_bytes", "bytes_out": "sent_bytes"}.get(counter, counter)
            found = last(f'last_over_time(resurge_{metric}_total{{group="{name}"}}[5m])', "group")
            assert found == {(name,): count}, (counter, found, count)
            compared += 1
        latency = group["latencies"].get("reconnect_latency", {})
        for label, key in (("50", "p50_us"), ("99", "p99_us"), ("99.9", "p99_9_us"), ("100", "max_us")):
            if latency:
                found = percentiles[(name, label)]
                # What lies beyond what was seen is +Inf there.
                assert math.isinf(found) if latency[key] is None else abs(found * 1e6 - latency[key]) < 0.01, (name, label)
                compared += 1
        assert buckets[(name, "+Inf")] == latency.get("count", 0)
    assert not any(attempts.values()), f"outcomes that run.json does not have: {attempts}"
    print(f"        {compared} numbers of Prometheus are those of run.json")


def check_series_are_there_from_the_start(address, value):
    """What a storm does is born with 0, so that it has a rate; no counter of this run begins with another value."""
    start = value["start_unix_us"] / 1e6
    for expression in ('resurge_sessions_ended_total{initiator="storm",code="1012"}', 'resurge_storm_disconnects_total{storm="0"}'):
        early = query(address, f"min_over_time({expression}[10s])", start + 9)
        assert len(early) == 2 and all(float(row["value"][1]) == 0 for row in early), (expression, early)
    panel = 'sum by (initiator, code) (rate(resurge_sessions_ended_total[5s])) > 0'
    seen = {row["metric"]["initiator"] for at in range(5, 9) for row in query(address, panel, start + at)}
    assert "storm" in seen, f"the storm is not in the panel of close codes: {seen}"
    born = {tuple(sorted(row["metric"].items())) for row in query(address, '{__name__=~"resurge_.*_total"} @ %f' % (start + 2.5))}
    late = {tuple(sorted(row["metric"].items())) for row in query(address, '{__name__=~"resurge_.*_total"} > 0', start + 8)}
    assert born and late <= born, f"not there from the start: {sorted(late - born)}"


def check_dashboard(address, at):
    """Every query of the dashboard is understood; those that this run must have numbers for, have them."""
    dashboard = json.loads((ROOT / "reports/grafana-dashboard.json").read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    empty = []
    for expression in expressions:
        plain = expression.replace("$__rate_interval", "5s").replace("$instance", ".*").replace("$group", ".*")
        assert "$" not in plain, plain
        if not query(address, plain, at):
            empty.append(expression)
    # No token request fails here.
    assert all("token_failures" in expression for expression in empty), empty
    print(f"        {len(expressions)} queries of the dashboard, {len(empty)} without numbers")


def check_a_prometheus_scrapes_a_run():
    """From its first second to its last numbers."""
    for program in ("prometheus", "promtool"):
        assert shutil.which(program), f"{program} is not installed: apt-get install prometheus"
    with tempfile.TemporaryDirectory() as home:
        home = Path(home)
        out = home / "run"
        scenario = home / "scraped.toml"
        scenario.write_text(SCENARIO + UNTIMED)
        metrics = f"127.0.0.1:{free_port()}"
        command = [RESURGE, "run", str(scenario), "--progress", "none", "--out", str(out), "--metrics", metrics]
        # It is there before the run, so that its first scrape is of the run's first second.
        with prometheus(home, metrics) as address:
            wait_until("a Prometheus", lambda: query(address, "up"))
            with started(command, cwd=ROOT, stderr=subprocess.PIPE) as process:
                assert process.stderr.readline().strip() == f"metrics: http://{metrics}/metrics"
                wait_until("a scrape", lambda: query(address, "resurge_reconnects_total > 0"))
                check_text(metrics)
                told = process.stderr.read()
                summary = process.stdout.read()
                process.stderr.close()
                # What was counted is held here: a busy machine, of whose latencies the run says that they are not valid, is fine.
                assert process.wait(LONGEST) in (0, 110), (summary, told)
                value = json.loads((out / "run.json").read_text())
                assert "waiting for the last scrape" in told, told
                check_final_numbers(address, value)
                at = value["start_unix_us"] / 1e6 + value["elapsed_s"] - 1
                check_dashboard(address, at)
                check_series_are_there_from_the_start(address, value)


def check_metrics_without_a_reader_do_not_wait():
    """Nobody scraped: the run ends as it would without. An address that is taken is told."""
    with tempfile.TemporaryDirectory() as home, socket.socket() as taken:
        command = [RESURGE, "run", "scenarios/smoke.toml", "--progress", "none", "--set", "duration=1s", "--set", "thresholds={}", *UNTIMED_SETS]
        done = subprocess.run([*command, "--out", f"{home}/run", "--metrics", ":0"], cwd=ROOT, capture_output=True, text=True, timeout=LONGEST)
        assert done.returncode == 0 and "waiting" not in done.stderr, done
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run([*command, "--out", f"{home}/other", "--metrics", str(port)], cwd=ROOT, capture_output=True, text=True, timeout=LONGEST)
        assert done.returncode == 1 and f"error: --metrics 127.0.0.1:{port}" in done.stderr, done
        assert not os.path.exists(f"{home}/other"), "and nothing was run"


def check_a_slow_reader_has_the_last_numbers_whole():
    """The run ends while they are on their way to a reader who has not begun to read."""
    token = '{ client_id = "demo-client", client_secret = "demo-secret", on_reconnect = "fetch" }'
    groups = [f'{{ name = "g{number}", clients = 1, token = {token} }}' for number in range(100)]
    with tempfile.TemporaryDirectory() as home, socket.socket() as reader:
        command = [RESURGE, "run", "scenarios/smoke.toml", "--progress", "none", "--set", "duration=4s", "--set", "thresholds={}", "--set", "storms=[]"]
        command += ["--set", "groups=[" + ", ".join(groups) + "]", *UNTIMED_SETS, "--out", f"{home}/run", "--metrics", "0"]
        with started(command, cwd=ROOT, stderr=subprocess.PIPE) as process:
            # What it prints of 100 groups is more than a pipe holds.
            threading.Thread(target=process.stdout.read, daemon=True).start()
            metrics = process.stderr.readline().strip().removeprefix("metrics: ")
            get(metrics)
            while "waiting" not in (line := process.stderr.readline()):
                assert line, "it ended without waiting"
            host, _, port = metrics.removeprefix("http://").removesuffix("/metrics").partition(":")
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            reader.connect((host, int(port)))
            reader.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
            time.sleep(1)
            head, _, body = b"".join(iter(lambda: reader.recv(1 << 16), b"")).partition(b"\r\n\r\n")
            length = int(re.search(rb"content-length: (\d+)", head)[1])
            assert len(body) == length > 1 << 20, (len(body), length)
            assert re.search(rb"^resurge_run_finished 1.0$", body, re.MULTILINE), "these are not the last"
            process.stderr.close()
            assert process.wait(LONGEST) == 0


def check_an_interrupt_ends_the_wait():
    """A user who interrupts while the last numbers wait for their reader does not wait for it."""
    with tempfile.TemporaryDirectory() as home:
        command = [RESURGE, "run", "scenarios/smoke.toml", "--progress", "none", "--set", "duration=2s", "--set", "thresholds={}", *UNTIMED_SETS]
        with started([*command, "--out", f"{home}/run", "--metrics", "0"], cwd=ROOT, stderr=subprocess.PIPE) as process:
            metrics = process.stderr.readline().strip().removeprefix("metrics: ")
            get(metrics)
            # One scrape alone: its interval is not known, so the wait is 15 s.
            while "waiting" not in (line := process.stderr.readline()):
                assert line, "it ended without waiting"
            begun = time.monotonic()
            process.send_signal(signal.SIGINT)
            process.stdout.read()
            process.stderr.close()
            assert process.wait(LONGEST) == 0 and time.monotonic() - begun < 10


CHECKS = [
    check_a_prometheus_scrapes_a_run,
    check_metrics_without_a_reader_do_not_wait,
    check_a_slow_reader_has_the_last_numbers_whole,
    check_an_interrupt_ends_the_wait,
]
