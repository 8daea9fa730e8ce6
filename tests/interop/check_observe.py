"""A run observes a page of Python's `prometheus_client` and a real Prometheus that scrapes the same page: `observed.csv` has what both told.

Needs Debian's package `prometheus`.
"""

import csv
import json
import subprocess
import tempfile
import threading
import time
import urllib.parse
from pathlib import Path
from wsgiref.simple_server import WSGIRequestHandler, make_server

import prometheus_client
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from check_prometheus import get, prometheus, query, wait_until
from processes import LONGEST, RESURGE, UNTIMED, unwrapped

SCENARIO = """
duration = "8s"
[target]
[[groups]]
name = "g"
clients = 5
[groups.token]
client_id = "demo-client"
client_secret = "demo-secret"
"""
PAGE = """
[[observe]]
name = "{name}"
url = "http://127.0.0.1:{port}/metrics"
headers = {{ Accept = "{accept}" }}
[[observe.series]]
name = "{name}_nth"
metric = "demo_nth"
[[observe.series]]
name = "{name}_all"
metric = "demo_connections"
[[observe.series]]
name = "{name}_idle"
metric = "demo_connections"
labels = {{ state = 'i"d\\le' }}
[[observe.series]]
name = "{name}_rate"
metric = "demo_requests_total"
rate = true
[[observe.series]]
name = "{name}_small"
metric = "demo_seconds_bucket"
labels = {{ le = "0.1" }}
[[observe.series]]
name = "{name}_gone"
metric = "demo_gone"
"""
QUERIES = {
    "nth": "demo_nth",
    "sum": "sum(demo_connections)",
    "rate": "rate(demo_requests_total[5s])",
    "two": "demo_connections",
    "wrong": "sum(demo_connections",
    "none": "demo_nothing_of_the_kind",
}
# The formats that `prometheus_client` has, by what is asked for.
FORMATS = {"classic": "text/plain", "openmetrics": "application/openmetrics-text; version=1.0.0"}


class Page:
    """A page whose numbers are others each time that it is asked for; it keeps what it told to whom."""

    def __init__(self):
        self.registry = prometheus_client.CollectorRegistry()
        self.registry.register(self)
        self.lock = threading.Lock()
        self.nth = 0
        self.told = []
        app = prometheus_client.make_wsgi_app(self.registry)

        def answer(environ, start):
            with self.lock:
                self.nth += 1
                self.told.append((time.time(), self.nth, environ.get("HTTP_USER_AGENT", ""), environ.get("HTTP_ACCEPT", "")))
                return app(environ, start)

        class Quiet(WSGIRequestHandler):
            def log_message(self, *_):
                pass

        self.server = make_server("127.0.0.1", 0, answer, handler_class=Quiet)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def collect(self):
        nth = self.nth
        yield GaugeMetricFamily("demo_nth", "Which answer this is.", value=nth)
        connections = GaugeMetricFamily("demo_connections", "Connections.", labels=["state"])
        connections.add_metric(['i"d\\le'], nth / 8)
        connections.add_metric(["active\nnow"], 1000)
        yield connections
        yield CounterMetricFamily("demo_requests", "Requests.", value=100 * nth)
        yield HistogramMetricFamily("demo_seconds", "Times.", buckets=[("0.1", nth), ("+Inf", 2 * nth)], sum_value=1.5)

    def end(self):
        self.server.shutdown()
        self.server.server_close()


def observed(folder):
    """The values of each series by second; None where there was none."""
    with open(folder / "observed.csv", newline="") as file:
        series = {}
        for row in csv.DictReader(file):
            series.setdefault(row["series"], {})[int(row["second"])] = float(row["value"]) if row["value"] else None
    return series


def run(home, text):
    """Runs a scenario to its end; answers with its folder, `run.json` and what it said."""
    scenario, folder = home / "observing.toml", home / "run"
    scenario.write_text(SCENARIO + text + UNTIMED)
    command = [RESURGE, "run", str(scenario), "--out", str(folder), "--progress", "none"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST)
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
    return folder, json.loads((folder / "run.json").read_text()), unwrapped(done.stdout) + done.stderr


def check_page(name, accept, page, series):
    """What stands in observed.csv of a page is what it told us, to the digit, in order."""
    told = [nth for _, nth, agent, asked in page.told if agent.startswith("resurge/") and asked == accept]
    seen = [value for value in series[f"{name}_nth"].values() if value is not None]
    # The last answer may have come when the run was over.
    assert len(seen) >= 7 and seen == told[: len(seen)] and len(told) - len(seen) <= 1, (name, seen, told)
    seconds = [second for second, value in series[f"{name}_nth"].items() if value is not None]
    for second, nth in zip(seconds, seen):
        assert series[f"{name}_all"][second] == 1000 + nth / 8
        assert series[f"{name}_idle"][second] == nth / 8
        assert series[f"{name}_small"][second] == nth
        assert series[f"{name}_gone"][second] is None
    times = {nth: at for at, nth, *_ in page.told}
    for before, second in zip(seconds, seconds[1:]):
        a, b = series[f"{name}_nth"][before], series[f"{name}_nth"][second]
        expected = 100 * (b - a) / (times[b] - times[a])
        rate = series[f"{name}_rate"][second]
        assert abs(rate - expected) < 0.25 * expected, (name, second, rate, expected)
    return len(seen)


def check_range(address, value, series):
    """What stands in observed.csv of a server is what it says of the whole run, to the digit."""
    start = value["start_unix_us"] / 1e6
    compared = 0
    for name in ("nth", "sum", "rate"):
        form = {"query": QUERIES[name], "start": f"{start:.3f}", "end": f"{start + value['elapsed_s']:.3f}", "step": "1"}
        _, text = get(f"http://{address}/api/v1/query_range?{urllib.parse.urlencode(form)}")
        (result,) = json.loads(text)["data"]["result"]
        theirs = {round(at - start): float(number) for at, number in result["values"]}
        ours = {second: number for second, number in series[name].items() if number is not None}
        # A scrape that came after our last question is in theirs alone.
        last = max(theirs)
        differing = {second: (ours.get(second), theirs.get(second)) for second in {*ours, *theirs} if second < last and ours.get(second) != theirs.get(second)}
        assert not differing, (name, differing)
        assert len(ours) >= 7, (name, ours)
        compared += len(ours)
    return compared


def check_what_prometheus_was_told(page, value, series):
    """A server's number of a second is what the page had told it last."""
    start = value["start_unix_us"] / 1e6
    told = [(at, nth) for at, nth, agent, _ in page.told if agent.startswith("Prometheus/")]
    for second, number in series["nth"].items():
        # A scrape has the time of its question, which is a little before the page's own.
        candidates = {max((nth for at, nth in told if at <= start + second + slack), default=None) for slack in (-0.2, 0, 0.2)}
        assert number is None or number in candidates, (second, number, candidates)


def check_a_run_observes_a_page_and_a_prometheus():
    """Both formats of the page, PromQL live and over the whole run, and queries that bring nothing of use."""
    page = Page()
    with tempfile.TemporaryDirectory() as home:
        home = Path(home)
        with prometheus(home, f"127.0.0.1:{page.port}") as address:
            wait_until("three scrapes", lambda: len(query(address, "demo_nth offset 2s > 0")) == 1)
            text = "".join(PAGE.format(name=name, port=page.port, accept=accept) for name, accept in FORMATS.items())
            text += f'[[observe]]\nname = "prom"\nprometheus = "http://{address}"\n'
            text += "".join(f"[[observe.series]]\nname = \"{name}\"\nquery = '{promql}'\n" for name, promql in QUERIES.items())
            folder, value, said = run(home, text)
            series = observed(folder)
            compared = sum(check_page(name, accept, page, series) for name, accept in FORMATS.items())
            compared += check_range(address, value, series)
        check_what_prometheus_was_told(page, value, series)
    page.end()
    told = {one["series"]: one for one in value["observed"]}
    assert "parse error" in told["wrong"]["why"] and "HTTP 400, bad_data: " in told["wrong"]["why"], told["wrong"]
    assert told["two"]["why"].startswith("the query brings 2 series"), told["two"]
    for name in ("wrong", "two"):
        assert told[name]["seconds"] == 0 and told[name]["why"] in said, (told[name], said)
    assert told["none"]["seconds"] == 0 and told["none"]["why"] is None, told["none"]
    assert told["nth"]["unanswered"] == 0 and told["nth"]["at_end"] is None, told["nth"]
    for name, numbers in series.items():
        numbers = [number for number in numbers.values() if number is not None]
        if numbers:
            assert (told[name]["least"], told[name]["most"]) == (min(numbers), max(numbers)), told[name]
            assert abs(told[name]["mean"] - sum(numbers) / len(numbers)) < 1e-9 * max(numbers), told[name]
    print(f"        {compared} values are those of the page and of Prometheus")


def check_a_page_that_goes_away_costs_the_run_nothing():
    """The page is gone in the middle of the run: what was seen stays, the rest is told."""
    page = Page()
    with tempfile.TemporaryDirectory() as home:
        ending = threading.Thread(target=lambda: (wait_until("three answers", lambda: page.nth >= 3), page.end()))
        ending.start()
        folder, value, said = run(Path(home), PAGE.format(name="page", port=page.port, accept="text/plain"))
        ending.join()
        series = observed(folder)
    (nth, *_) = value["observed"]
    seen = [number for number in series["page_nth"].values() if number is not None]
    assert seen == list(range(1, page.nth + 1)), (seen, page.nth)
    assert nth["unanswered"] >= 3 and nth["why"] in ("connection refused", "the connection was reset"), nth
    assert value["ended"] == {"how": "completed"} and "not observed page_nth" in said, said


CHECKS = [check_a_run_observes_a_page_and_a_prometheus, check_a_page_that_goes_away_costs_the_run_nothing]
