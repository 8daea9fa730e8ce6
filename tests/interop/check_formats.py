"""Every form of a report, read back by a program that we did not write: pandas, junitparser, lxml, jsonschema, cmark-gfm.

Each check makes a run of its own kind (passed, failed, interrupted, crashed, against a hostile server, without a reconnect) and reads
all of its forms.
"""

import contextlib
import functools
import io
import json
import math
import shutil
import signal
import socketserver
import subprocess
import tempfile
import threading
from pathlib import Path

import cmarkgfm
import jsonschema
import junitparser
import lxml.etree
import lxml.html
import pandas

from processes import HERE, LONGEST, RESURGE, ROOT, UNTIMED_SETS, started, target

TABLES = ["summary", "outcomes", "closes", "timeseries"]
FORMS = ["text", "markdown", "json", "csv", "junit", "hlog", "benchmark", "html"]
MARKDOWN_TAGS = {"div", "h2", "h3", "p", "ul", "li", "table", "thead", "tbody", "tr", "th", "td", "sub", "strong"}
MIB = 1024 * 1024
BENCHMARK_SCHEMA = {
    "type": "array",
    "minItems": 1,
    "items": {
        "type": "object",
        "required": ["name", "unit", "value"],
        "additionalProperties": False,
        "properties": {
            "name": {"type": "string", "minLength": 1},
            "unit": {"type": "string", "minLength": 1},
            "value": {"type": "number", "minimum": 0},
            "range": {"type": "string"},
            "extra": {"type": "string"},
        },
    },
}
HOSTILE = '<script>alert(1)</script> | `x` @octocat ]]>'


@contextlib.contextmanager
def folder():
    """A place for a run folder that does not exist yet."""
    with tempfile.TemporaryDirectory() as home:
        yield Path(home) / "run"


def run(out, *arguments, scenario="scenarios/smoke.toml", code=0, env=None):
    """Runs a scenario into `out`; answers with what it wrote to stderr."""
    command = [RESURGE, "run", str(scenario), "--progress", "none", "--out", str(out), *UNTIMED_SETS, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LONGEST, env=env)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done.stderr


def report(out, form, *more):
    """A form of the report of a run folder."""
    command = [RESURGE, "report", str(out), "--format", form, *more]
    return subprocess.run(command, check=True, capture_output=True, timeout=LONGEST).stdout.decode()


@functools.cache
def run_schema():
    """The published schema of run.json, with no key allowed that it does not name."""
    schema = json.loads(subprocess.run([RESURGE, "schema", "--of", "run"], check=True, capture_output=True).stdout)
    jsonschema.Draft202012Validator.check_schema(schema)

    def close(node):
        if isinstance(node, dict):
            # The variants of a choice share their keys with the object around them.
            if "properties" in node and "oneOf" not in node:
                node.setdefault("additionalProperties", False)
            for child in node.values():
                close(child)
        elif isinstance(node, list):
            for child in node:
                close(child)

    close(schema)
    return jsonschema.Draft202012Validator(schema)


def read_json(out):
    """run.json, valid by its schema; the same as what `report` makes of the journal."""
    value = json.loads(report(out, "json"))
    run_schema().validate(value)
    if (out / "run.json").exists():
        assert json.loads((out / "run.json").read_text()) == value
    wrong = {**value, "surprise": 1}
    assert not run_schema().is_valid(wrong), "the schema holds"
    return value


def read_tables(out, value):
    """The CSV tables, by pandas: their sums are those of run.json."""
    tables = {name: pandas.read_csv(io.StringIO(report(out, "csv", "--table", name)), keep_default_na=False) for name in TABLES}
    for name, table in tables.items():
        numbers = [column for column in table.columns if column.endswith("_us") or column in ("count", "second", "connected", "attempts", "share")]
        if len(table):
            # A percentile beyond what was seen is empty, and so is who is away in the rows of other metrics.
            kinds = {column: pandas.to_numeric(table[column].replace("", math.nan)).dtype.kind for column in numbers}
            assert set(kinds.values()) <= {"i", "f"}, (name, kinds)
    for group in value["accounting"]["groups"]:
        of = {name: table[table["group"] == group["group"]] for name, table in tables.items()}
        assert of["outcomes"]["count"].sum() == group["attempts"] == sum(group["outcomes"].values()), group
        by_outcome = of["outcomes"].groupby("outcome")["count"].sum().to_dict()
        assert by_outcome == group["outcomes"], (by_outcome, group["outcomes"])
        assert of["closes"]["count"].sum() == group["closes"]
        series = of["timeseries"]
        assert series["attempts"].sum() == group["attempts"]
        parts = ["ok", "http_401", "http_403", "http_429", "http_5xx", "other_failures"]
        assert (series[parts].sum(axis=1) == series["attempts"]).all()
        assert series["tokens_fetched"].sum() == group["counters"]["tokens_fetched"]
        assert series["disconnects"].sum() == group["counters"]["disconnects"]
        for _, row in of["summary"].iterrows():
            latency = group["latencies"][row["metric"]]
            for key in ("count", "min_us", "p50_us", "p99_us", "p99_99_us", "max_us"):
                assert latency[key] == (None if row[key] == "" else int(row[key])), (row, latency)
            if latency["count"]:
                assert abs(latency["mean_us"] - float(row["mean_us"])) <= 0.06
        assert len(of["summary"]) == len(group["latencies"])
        for _, kind in of["outcomes"].groupby("kind"):
            assert abs(kind["share"].sum() - 1) < 1e-5
    return tables


def read_junit(text, value):
    """JUnit XML: valid by its schema, and junitparser counts what run.json has."""
    document = lxml.etree.fromstring(text.encode())
    lxml.etree.XMLSchema(lxml.etree.parse(str(HERE / "junit.xsd"))).assertValid(document)
    suites = junitparser.JUnitXml.fromstring(text.encode())
    told = (suites.tests, suites.failures, suites.errors, suites.skipped)
    cases = {}
    for suite in suites:
        for case in suite:
            kind = type(case.result[0]).__name__ if case.result else "Passed"
            cases[case.name] = (kind, case)
    counted = [sum(1 for kind, _ in cases.values() if kind == wanted) for wanted in ("Failure", "Error", "Skipped")]
    assert told == (len(cases), *counted), (told, counted)
    kinds = {"passed": "Passed", "failed": "Failure", "no_samples": "Error"}
    for threshold in value["thresholds"]:
        kind, case = cases[threshold["threshold"]]
        assert kind == kinds[threshold["status"]], (threshold, kind)
        assert threshold["measured_text"] in case.system_out
        if threshold["measured"] is not None:
            measured = {entry.name: float(entry.value) for entry in case.child(junitparser.Properties)}
            assert abs(measured["measured"] - threshold["measured"]) <= 1e-9 * abs(threshold["measured"]), measured
        if kind == "Failure":
            assert threshold["measured_text"] in case.result[0].message
    bad = told[1] + told[2]
    assert (bad == 0) == (value["verdict"]["exit_code"] == 0), (told, value["verdict"])
    return {name: kind for name, (kind, _) in cases.items()}


def read_markdown(text, value):
    """Markdown, by GitHub's own parser: what is meant as a table is one, and nothing of a name or a server became markup."""
    page = lxml.html.fromstring(cmarkgfm.github_flavored_markdown_to_html(text, cmarkgfm.cmark.Options.CMARK_OPT_UNSAFE))
    assert {element.tag for element in page.iter()} <= MARKDOWN_TAGS, {element.tag for element in page.iter()} - MARKDOWN_TAGS
    for table in page.iter("table"):
        widths = {len(row) for row in table.iter("tr")}
        assert len(widths) == 1 and widths.pop() > 1, lxml.html.tostring(table)
    headed = [element.text_content() for element in page.iter("h3") if element.getnext().tag == "table"]
    assert len(headed) == len(list(page.iter("table"))) and "Reconnect latency" in headed, headed
    if value["thresholds"]:
        assert headed[0] == "Thresholds"
        told = {row[1].text_content() for row in next(page.iter("tbody"))}
        assert told == {threshold["threshold"] for threshold in value["thresholds"]}, told


def read_all(out):
    """Every form of a run; answers with run.json and JUnit's cases."""
    value = read_json(out)
    read_tables(out, value)
    cases = read_junit(report(out, "junit"), value)
    jsonschema.validate(json.loads(report(out, "benchmark")), BENCHMARK_SCHEMA)
    for form in FORMS:
        text = report(out, form)
        assert form == "csv" or text.strip(), form
        assert not any(ord(c) < 32 and c not in "\n\t" for c in text), f"{form}: a control character"
    markdown = report(out, "markdown")
    assert len(markdown.encode()) < MIB and "<script" not in markdown and "@octocat" not in markdown
    read_markdown(markdown, value)
    return value, cases


def check_forms_of_a_run_that_passed():
    """All forms; exports and the step's summary are the same as what `report` makes."""
    with folder() as out:
        summary = out.parent / "summary.md"
        summary.write_text("before\n")
        env = {"PATH": "/usr/bin:/bin", "GITHUB_STEP_SUMMARY": str(summary), "GITHUB_ACTIONS": "true"}
        exports = [f"--export={form}={out.parent / form}" for form in FORMS]
        said = run(out, *exports, env=env)
        assert "::error" not in said, said
        value, cases = read_all(out)
        assert value["verdict"]["status"] == "pass" and set(cases.values()) == {"Passed"}, cases
        for form in FORMS:
            written, printed = (out.parent / form).read_text(), report(out, form)
            if form == "text":
                # The file has all tables; what is printed ends with where the page is.
                details = subprocess.run([RESURGE, "report", str(out), "--details"], capture_output=True, text=True, check=True).stdout
                assert details.startswith(written.rstrip()) and written != printed, details
            else:
                assert written == printed, form
        assert summary.read_text() == "before\n\n" + report(out, "markdown")


def check_forms_of_a_run_that_failed():
    """A failed threshold, and one without samples, are told in every form; annotations name them."""
    limit = '["p(99) < 1us", "max < 1h"]'
    with folder() as out:
        env = {"PATH": "/usr/bin:/bin", "GITHUB_ACTIONS": "true"}
        said = run(out, "--set", f"thresholds.reconnect_latency={limit}", "--export", f"junit={out.parent / 'junit.xml'}", code=99, env=env)
        value, cases = read_all(out)
        assert cases["reconnect_latency: p(99) < 1us"] == "Failure" and cases["reconnect_latency: max < 1h"] == "Passed"
        assert said.count("::error title=resurge smoke%3A THRESHOLD FAILED::reconnect_latency: p(99) < 1us") == 1, said
        read_junit((out.parent / "junit.xml").read_text(), value)
    with folder() as out:
        run(out, "--set", 'target.idle_timeout="1h"', "--set", "duration=500ms", code=110)
        value, cases = read_all(out)
        assert "Error" in cases.values(), cases
        assert all("reconnect_latency" not in group["latencies"] for group in value["accounting"]["groups"])


def check_forms_of_a_run_without_thresholds():
    """No thresholds: a suite for the validity alone."""
    text = (ROOT / "scenarios/smoke.toml").read_text().split("[thresholds]")[0]
    with folder() as out:
        scenario = out.parent / "bare.toml"
        scenario.write_text(text)
        run(out, "--set", "duration=1s", scenario=scenario)
        value, cases = read_all(out)
        assert value["thresholds"] == [] and len(cases) == 7, cases


def check_forms_of_a_run_that_did_not_end():
    """Interrupted, and crashed: null where nothing is known, an error in JUnit."""
    with folder() as out:
        command = [RESURGE, "run", "scenarios/smoke.toml", "--set", "duration=30s", "--progress", "plain", "--out", str(out)]
        with started(command, cwd=ROOT, stderr=subprocess.PIPE) as process:
            # The first line comes when the run is under way.
            while "connected" not in process.stderr.readline():
                assert process.poll() is None
            process.send_signal(signal.SIGINT)
            process.stdout.read()
            process.stderr.close()
            assert process.wait(LONGEST) == 105
        value, cases = read_all(out)
        assert value["ended"] == {"how": "interrupted"} and cases["the run came to its end"] == "Error"
        crashed = out.parent / "crashed"
        crashed.mkdir()
        journal = (out / "journal.bin").read_bytes()
        (crashed / "journal.bin").write_bytes(journal[:-20])
        value, cases = read_all(crashed)
        assert value["verdict"]["exit_code"] == 111 and value["ended"] is None and value["generator"] is None
        assert cases["the run came to its end"] == "Error" and cases["the generator kept up"] == "Skipped"


REMOTE = """
duration = "1500ms"
[target]
kind = "remote"
url = "ws://{address}/api/v2/analytics/events"
token_url = "http://{address}/oauth/token"
[[groups]]
name = "remote"
clients = 5
[groups.token]
client_id = "demo-client"
client_secret = "demo-secret"
on_reconnect = "fetch"
[groups.reconnect]
backoff = {{ kind = "constant", base = "200ms" }}
[thresholds]
attempts = ["count > 0"]
"""


def check_forms_of_a_remote_target():
    """A target of its own process: nothing to reconcile with."""
    with folder() as out, target("forum", idle_timeout="700ms") as address:
        scenario = out.parent / "remote.toml"
        scenario.write_text(REMOTE.format(address=address))
        run(out, scenario=scenario)
        value, cases = read_all(out)
        assert value["target"]["kind"] == "remote" and value["reconciliation"] is None
        assert cases["clients and target agree"] == "Skipped", cases


class Hostile(socketserver.StreamRequestHandler):
    """Answers every request with text that would be markup somewhere."""

    def handle(self):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = self.rfile.read(1)
            if not byte:
                return
            head += byte
        body = json.dumps({"error": HOSTILE, "access_token": HOSTILE, "message": HOSTILE, "code": HOSTILE}).encode() + b"\xff\x00"
        fields = [f"HTTP/1.1 403 {HOSTILE}", f"X-Reason: {HOSTILE}", "Content-Type: application/json", f"Content-Length: {len(body)}", "Connection: close"]
        head = "\r\n".join([*fields, "", ""]).encode().replace(b"X-Reason: ", b"X-Reason: \xff\xfe")
        self.wfile.write(head + body)


def check_forms_of_a_hostile_server():
    """A server that sends markup in its status line, headers and body changes nothing in any form."""
    with folder() as out, socketserver.ThreadingTCPServer(("127.0.0.1", 0), Hostile) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            scenario = out.parent / "hostile.toml"
            text = REMOTE.format(address=f"127.0.0.1:{server.server_address[1]}")
            # That nobody gets in is what it asks for.
            text += 'attempt_failure_rate = ["rate == 100%"]\n'
            scenario.write_text(text.replace('[groups.token]', '[groups.token]\ngrant = "none"').replace('client_id = "demo-client"\nclient_secret = "demo-secret"\non_reconnect = "fetch"\n', ""))
            run(out, scenario=scenario)
        finally:
            server.shutdown()
        value, _ = read_all(out)
        assert value["accounting"]["all"]["outcomes"].get("http_403", 0) > 0, value["accounting"]
        for form in FORMS:
            assert "<script>alert" not in report(out, form), form


def check_report_stops_with_its_reader():
    """A reader that has had enough is no error, and colours are not for a pipe."""
    with folder() as out:
        run(out, "--set", "duration=500ms", "--set", "thresholds={}")
        shell = f"'{RESURGE}' report '{out}' --format hlog | head -1; echo ${{PIPESTATUS[0]}}"
        done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, timeout=LONGEST)
        assert done.stdout.splitlines()[-1] == "0" and not done.stderr, done
        assert "\x1b" not in report(out, "text")
        if shutil.which("script"):
            for colour, env in ((True, {}), (False, {"NO_COLOR": "1"})):
                command = ["script", "-qec", f"'{RESURGE}' report '{out}'", "/dev/null"]
                done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST, stdin=subprocess.DEVNULL, env={"PATH": "/usr/bin:/bin", **env})
                assert ("\x1b[" in done.stdout) == colour, done.stdout


CHECKS = [
    check_forms_of_a_run_that_passed,
    check_forms_of_a_run_that_failed,
    check_forms_of_a_run_without_thresholds,
    check_forms_of_a_run_that_did_not_end,
    check_forms_of_a_remote_target,
    check_forms_of_a_hostile_server,
    check_report_stops_with_its_reader,
]
