"""What OpenTelemetry's own libraries make of what is sent to them.

The official protobufs decode the metrics of a run, whose counts and percentiles are those of run.json; receivers that refuse, are slow or are not there cost
nothing but a line. The official propagator extracts `traceparent` from every request, and the trace of a refusal is the one that the service logged.
"""

import asyncio
import csv
import gzip
import http.server
import io
import json
import os
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pyarrow.parquet
from opentelemetry import trace
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest, ExportMetricsServiceResponse
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from websockets.asyncio.server import serve

from check_prometheus import SCENARIO
from processes import LONGEST, RESURGE, ROOT, UNTIMED, free_port

DELTA, CUMULATIVE = 1, 2
SECRET = "s3cret-of-the-receiver"


class Receiver(http.server.ThreadingHTTPServer):
    """Takes metrics; each request is first answered as the next of `answers` says: a status, headers, seconds to wait."""

    def __init__(self, *answers):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers, self.requests, self.came, self.encodings = list(answers), [], [], set()
        self.lock = threading.Lock()

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert self.path == "/v1/metrics" and self.headers["Content-Type"] == "application/x-protobuf", self.path
        with self.server.lock:
            self.server.came.append(time.monotonic())
            self.server.encodings.add((self.headers.get("Content-Encoding"), self.headers.get("api-key")))
            status, headers, wait = self.server.answers.pop(0) if self.server.answers else (200, {}, 0)
        time.sleep(wait)
        answer = b""
        if status == 200:
            decoded = ExportMetricsServiceRequest.FromString(gzip.decompress(body) if self.headers.get("Content-Encoding") else body)
            with self.server.lock:
                self.server.requests.append(decoded)
            answer = ExportMetricsServiceResponse().SerializeToString()
        self.send_response(status)
        for name, value in {"Content-Type": "application/x-protobuf", "Content-Length": str(len(answer)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        """Nothing is logged."""


def value_of(value):
    """An attribute's value."""
    return getattr(value, value.WhichOneof("value"))


def attributes_of(pairs):
    """Attributes by name."""
    return {pair.key: value_of(pair.value) for pair in pairs}


def metrics_of(request):
    """Metrics by name, and the resource's attributes."""
    [resource] = request.resource_metrics
    [scope] = resource.scope_metrics
    assert scope.scope.name == "resurge"
    names = [metric.name for metric in scope.metrics]
    assert len(set(names)) == len(names) and all(name.startswith("resurge.") for name in names), names
    return {metric.name: metric for metric in scope.metrics}, attributes_of(resource.resource.attributes)


def points_of(metric):
    """The data points of a metric, whatever it is."""
    return getattr(metric, metric.WhichOneof("data")).data_points


def run(scenario, home, receiver, *arguments, **environment):
    """Runs it with numbers sent there; answers with run.json, stderr, how long it took."""
    file = home / "sent.toml"
    file.write_text(scenario + UNTIMED)
    out = home / "run"
    base = {"OTEL_METRIC_EXPORT_INTERVAL": "1000", "OTEL_EXPORTER_OTLP_HEADERS": f"api-key={SECRET}"}
    command = [RESURGE, "run", str(file), "--progress", "none", "--out", str(out), "--otlp", receiver, *arguments]
    began = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LONGEST, env={**os.environ, **base, **environment})
    took = time.monotonic() - began
    assert done.returncode in (0, 110), done
    for path in [*out.rglob("*")]:
        assert path.is_dir() or SECRET.encode() not in path.read_bytes(), f"{path} holds the receiver's secret"
    assert SECRET not in done.stdout + done.stderr
    return json.loads((out / "run.json").read_text()), done.stderr, took


def percentile_bounds(point, percentile):
    """Between which values a percentile of an exponential histogram lies."""
    rank = max(1, -(-point.count * percentile // 100))
    below, base = point.zero_count, 2 ** (2 ** -point.scale)
    if below >= rank:
        return 0, 0
    for at, count in enumerate(point.positive.bucket_counts):
        below += count
        if below >= rank:
            return base ** (point.positive.offset + at), base ** (point.positive.offset + at + 1)
    raise AssertionError(f"{point.count} values are not in its buckets")


def compare(metrics, value):
    """What was sent last is what run.json has."""
    compared = 0
    attempts, latencies = {}, {}
    for point in points_of(metrics["resurge.attempts"]):
        own = attributes_of(point.attributes)
        attempts[own["group"], own["outcome"]] = attempts.get((own["group"], own["outcome"]), 0) + point.as_int
    for name, metric in metrics.items():
        if metric.WhichOneof("data") != "exponential_histogram":
            continue
        for point in points_of(metric):
            own = attributes_of(point.attributes)
            assert sum(point.positive.bucket_counts) + point.zero_count == point.count, (name, point)
            assert len(point.positive.bucket_counts) <= 160
            if name != "resurge.phase" and set(own) == {"group"}:
                latencies[own["group"], name.removeprefix("resurge.")] = point
    for group in value["accounting"]["groups"]:
        name = group["group"]
        for outcome, count in group["outcomes"].items():
            assert attempts.pop((name, outcome)) == count, (name, outcome, count)
            compared += 1
        for counter, count in group["counters"].items():
            metric = {"bytes_in": "received", "bytes_out": "sent"}.get(counter, counter)
            [found] = [point.as_int for point in points_of(metrics[f"resurge.{metric}"]) if attributes_of(point.attributes)["group"] == name]
            assert found == count, (counter, found, count)
            compared += 1
        for metric in ("refused_latency", "connect_latency", "session_length", "lag"):
            latency = group["latencies"].get(metric)
            point = latencies[name, metric]
            assert point.count == (latency or {"count": 0})["count"], (metric, point.count, latency)
            for key, percentile in (("p50_us", 50), ("p90_us", 90), ("p99_us", 99), ("max_us", 100)):
                if latency and latency["count"]:
                    low, high = percentile_bounds(point, percentile)
                    assert low * 0.9999 <= latency[key] / 1e6 <= high * 1.0001, (metric, key, low, latency[key], high)
                    compared += 1
            if latency and latency["count"]:
                assert abs(point.max * 1e6 - latency["max_us"]) < 1 and point.min * 1e6 <= latency["p50_us"]
    assert not any(attempts.values()), attempts
    return compared


def check_otlp_metrics_are_those_of_the_run():
    """Cumulative, compressed: the last export has the numbers of run.json, and each counts from the same start."""
    with tempfile.TemporaryDirectory() as home, Receiver() as receiver:
        environment = {"OTEL_EXPORTER_OTLP_COMPRESSION": "gzip", "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=staging", "OTEL_SERVICE_NAME": "nightly"}
        value, told, _ = run(SCENARIO, Path(home), f"http://127.0.0.1:{receiver.server_address[1]}", **environment)
        assert receiver.encodings == {("gzip", SECRET)}, receiver.encodings
        assert len(receiver.requests) >= 5, len(receiver.requests)
        metrics, resource = metrics_of(receiver.requests[-1])
        assert resource["service.name"] == "nightly" and resource["deployment.environment"] == "staging", resource
        assert resource["resurge.scenario"] == "sent" and resource["resurge.seed"] == value["scenario"]["seed"], resource
        assert resource["service.version"] == value["tool"]["version"] and resource["service.instance.id"] in told, (resource, told)
        assert metrics["resurge.reconnect_latency"].unit == "s" and metrics["resurge.received"].unit == "By"
        assert metrics["resurge.token_requests"].sum.is_monotonic and not metrics["resurge.attempts"].sum.is_monotonic
        [finished] = points_of(metrics["resurge.run_finished"])
        assert finished.as_double == 1
        compared = compare(metrics, value)
        starts = set()
        for request in receiver.requests:
            of = metrics_of(request)[0]
            assert of["resurge.attempts"].sum.aggregation_temporality == CUMULATIVE
            starts |= {point.start_time_unix_nano for point in points_of(of["resurge.attempts"])}
            assert all(point.start_time_unix_nano < point.time_unix_nano for point in points_of(of["resurge.lag"]))
        assert len(starts) == 1
        # Whatever the scenario can come to is there from the first on: a storm's code too.
        first = [attributes_of(point.attributes) for point in points_of(metrics_of(receiver.requests[0])[0]["resurge.sessions_ended"])]
        assert any(own["initiator"] == "storm" and own["code"] == "1012" for own in first), first
        page = (ROOT / "docs/src/run/opentelemetry.md").read_text()
        missing = [name for name in metrics if f"`{name}`" not in page]
        assert not missing, f"docs/src/run/opentelemetry.md lacks {missing}"
        print(f"        {compared} numbers of {len(receiver.requests)} exports are those of run.json")


def check_deltas_add_up():
    """Differences: the sum of all exports is what run.json has, though one was refused and one came late."""
    answers = [(200, {}, 0), (503, {"Retry-After": "0"}, 0), (400, {}, 0)]
    with tempfile.TemporaryDirectory() as home, Receiver(*answers) as receiver:
        environment = {"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta"}
        value, told, _ = run(SCENARIO, Path(home), f"http://127.0.0.1:{receiver.server_address[1]}", **environment)
        assert "status 400" in told and "1 not" in told, told
        sums, sizes, ends = {}, {}, {}
        for request in receiver.requests:
            metrics, _ = metrics_of(request)
            for point in points_of(metrics["resurge.attempts"]):
                own = attributes_of(point.attributes)
                key = own["group"], own["outcome"]
                sums[key] = sums.get(key, 0) + point.as_int
                series = tuple(sorted(own.items()))
                assert ends.get(series, point.start_time_unix_nano) == point.start_time_unix_nano, "a gap between two exports"
                ends[series] = point.time_unix_nano
            assert metrics["resurge.lag"].exponential_histogram.aggregation_temporality == DELTA
            for point in points_of(metrics["resurge.connect_latency"]):
                group = attributes_of(point.attributes)["group"]
                sizes[group] = sizes.get(group, 0) + point.count
        for group in value["accounting"]["groups"]:
            assert all(sums[group["group"], outcome] == count for outcome, count in group["outcomes"].items()), (sums, group)
            assert sizes[group["group"]] == group["latencies"]["connect_latency"]["count"], sizes


SHORT = SCENARIO.replace('duration = "9s"', 'duration = "4s"').replace('at = "4s"', 'at = "2s"')


def check_a_bad_receiver_costs_nothing():
    """One that is slow, one that refuses, one that is not there: the run is as long, and it is told once."""
    with tempfile.TemporaryDirectory() as home, Receiver(*[(200, {}, 30)] * 9) as slow:
        _, told, took = run(SHORT, Path(home), f"http://127.0.0.1:{slow.server_address[1]}", OTEL_EXPORTER_OTLP_TIMEOUT="1500")
        assert took < 20 and told.count("the numbers were not taken: no answer in time") == 1, (took, told)
    with tempfile.TemporaryDirectory() as home, Receiver(*[(401, {}, 0)] * 99) as refusing:
        _, told, _ = run(SHORT, Path(home), f"http://127.0.0.1:{refusing.server_address[1]}")
        assert told.count("status 401. The run goes on") == 1 and "0 exports taken" in told, told
        # It was not asked again for what it had refused.
        assert all(after - before > 0.5 for before, after in zip(refusing.came[:-1], refusing.came[1:-1])), refusing.came
    with tempfile.TemporaryDirectory() as home:
        _, told, took = run(SHORT, Path(home), f"http://127.0.0.1:{free_port()}")
        assert took < 20 and told.count("the numbers were not taken: tcp refused") == 1, (took, told)


TRACED = """
duration = "4s"
[target]
url = "ws://127.0.0.1:{port}/ws"
token_url = "http://127.0.0.1:{tokens}/oauth/token"
[[groups]]
name = "traced"
clients = 3
trace = true
[groups.token]
client_id = "demo-client"
client_secret = "demo-secret"
on_reconnect = "reuse"
[groups.prepare]
steps = [{{ name = "negotiate", url = "http://127.0.0.1:{tokens}/negotiate", method = "POST" }}]
[groups.reconnect]
backoff = {{ kind = "constant", base = "200ms" }}
"""


class Requests(http.server.BaseHTTPRequestHandler):
    """Tokens and steps, with what they say of their trace."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with self.server.lock:
            self.server.seen.append((self.path, dict(self.headers.items())))
        body = json.dumps({"access_token": "t", "token_type": "bearer", "expires_in": 3600}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Nothing is logged."""


async def traced_run(home, tokens):
    """A run whose handshakes are refused every second time, and cut off after a second; answers with the handshakes."""
    handshakes = []

    def judge(connection, request):
        refused = len(handshakes) % 2 == 1
        handshakes.append((dict(request.headers.raw_items()), refused))
        return connection.respond(403, "no\n") if refused else None

    async def session(connection):
        await asyncio.sleep(1)
        await connection.close(1001)

    async with serve(session, "127.0.0.1", 0, process_request=judge) as server:
        port = server.sockets[0].getsockname()[1]
        file = home / "traced.toml"
        file.write_text(TRACED.format(port=port, tokens=tokens) + UNTIMED)
        command = [RESURGE, "run", str(file), "--attempts", "--progress", "none", "--out", str(home / "run")]
        process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        out, err = await asyncio.wait_for(process.communicate(), LONGEST)
        assert process.returncode in (0, 110), err.decode()
    return handshakes, out.decode()


def extracted(headers):
    """The span that the official propagator finds."""
    lower = {name.lower(): value for name, value in headers.items()}
    context = trace.get_current_span(TraceContextTextMapPropagator().extract(lower)).get_span_context()
    assert context.is_valid and context.is_remote and context.trace_flags.sampled, headers
    return f"{context.trace_id:032x}", f"{context.span_id:016x}"


def check_traces_are_those_of_the_requests():
    """Every request has a valid `traceparent`; an attempt's requests share a trace; attempts.csv and run.json name those that the service logged."""
    with tempfile.TemporaryDirectory() as home, http.server.ThreadingHTTPServer(("127.0.0.1", 0), Requests) as tokens:
        home = Path(home)
        tokens.seen, tokens.lock = [], threading.Lock()
        threading.Thread(target=tokens.serve_forever, daemon=True).start()
        try:
            handshakes, summary = asyncio.run(traced_run(home, tokens.server_address[1]))
        finally:
            tokens.shutdown()
        asked = [(path, *extracted(headers)) for path, headers in tokens.seen]
        shaken = [(*extracted(headers), refused) for headers, refused in handshakes]
        spans = [span for _, _, span in asked] + [span for _, span, _ in shaken]
        assert len(set(spans)) == len(spans) > 9, "each request has a span of its own"
        traces = [trace_id for trace_id, _, _ in shaken]
        assert len(set(traces)) == len(traces), "each attempt has a trace of its own"
        # What was asked before a handshake belongs to the same attempt.
        first = {trace_id for path, trace_id, _ in asked if path == "/oauth/token"}
        assert len(first) == 3 and first <= set(traces), (first, traces)
        assert {trace_id for path, trace_id, _ in asked if path == "/negotiate"} == set(traces)
        rows = list(csv.DictReader((home / "run/attempts.csv").open()))
        outcome = {row["trace_id"]: row["outcome"] for row in rows}
        command = [RESURGE, "report", str(home / "run"), "--format", "parquet", "--table", "attempts"]
        columns = pyarrow.parquet.read_table(io.BytesIO(subprocess.run(command, capture_output=True, check=True).stdout))
        assert columns["trace_id"].to_pylist() == [row["trace_id"] or None for row in rows], columns["trace_id"]
        assert len(outcome) == len(rows) and set(outcome) >= set(traces), (outcome, traces)
        refused = {trace_id for trace_id, _, is_refused in shaken if is_refused}
        assert refused and refused == {trace_id for trace_id, came in outcome.items() if came == "http_403"}
        told = json.loads((home / "run/run.json").read_text())["refused_traces"]
        assert told and all(row["outcome"] == "http_403" and row["group"] == "traced" and row["trace_id"] in refused for row in told), told
        assert all(row["trace_id"] in summary for row in told), summary


CHECKS = [
    check_otlp_metrics_are_those_of_the_run,
    check_deltas_add_up,
    check_a_bad_receiver_costs_nothing,
    check_traces_are_those_of_the_requests,
]
