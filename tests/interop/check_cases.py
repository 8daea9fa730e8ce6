"""`resurge run` against small services that refuse, end and number things as real ones do.

Each case is a service (`node/cases.js MODE`) and a scenario. What the run tells is held against what the service counted, number by number, and
against what is true of that service.
"""

import csv
import json
import subprocess
import tempfile
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from processes import LONGEST, RESURGE, UNTIMED, free_port, node, started, unwrapped

HEAD = """
name = "case"
duration = "{duration}"
{untimed}[target]
kind = "remote"
url = "ws://127.0.0.1:{port}{path}"
token_url = "http://127.0.0.1:{port}/token"
"""
GROUP = """
[[groups]]
name = "{name}"
clients = {clients}
{more}
[groups.token]
{token}
[groups.connect]
{connect}
[groups.session]
{session}
[groups.reconnect]
backoff = {backoff}
{reconnect}
"""
CREDENTIALS = 'client_id = "a"\nclient_secret = "b"\n'
REUSE = CREDENTIALS + 'on_reconnect = "reuse"'
FETCH = CREDENTIALS + 'on_reconnect = "fetch"'
EACH_SECOND = '{ kind = "constant", base = "1s" }'
# How a refusal is told: outcome, where, said, answered_by, cause, ground.
COLUMNS = ("outcome", "where", "said", "answered_by", "cause", "ground")


def group(name="g", clients=10, token=CREDENTIALS, connect="", session="", reconnect="", backoff=EACH_SECOND, more=""):
    """A group of a scenario."""
    return GROUP.format(**locals())


class Run:
    """A run, and what the service counted of it."""

    def __init__(self, mode, groups, duration="8s", path="/", rest=""):
        with tempfile.TemporaryDirectory() as folder:
            port = free_port()
            scenario = Path(folder, "case.toml")
            head = HEAD.format(untimed=UNTIMED, port=port, path=path, duration=duration)
            scenario.write_text(head + "".join(groups).replace("PORT", str(port)) + rest)
            with started(node("cases.js", mode, str(port))) as service:
                assert service.stdout.readline().strip() == "listening"
                out = Path(folder, "run")
                command = [RESURGE, "run", str(scenario), "--out", str(out), "--progress", "none"]
                done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST, check=False)
                self.exit = done.returncode
                self.text = unwrapped(done.stdout)
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/counts", timeout=10) as answer:
                    self.counts = json.load(answer)
            self.outcomes = table(out / "outcomes.csv")
            self.closes = table(out / "closes.csv")
            self.tokens = table(out / "tokens.csv")
            self.steps = table(out / "steps.csv")
            self.json = json.loads((out / "run.json").read_text())

    def count(self, outcome, group=None):
        """Attempts with that outcome."""
        rows = [row for row in self.outcomes if row["outcome"] == outcome and group in (None, row["group"])]
        return sum(int(row["count"]) for row in rows)

    def told(self, outcome):
        """How attempts with that outcome are told."""
        return {tuple(row[column] for column in COLUMNS) for row in self.outcomes if row["outcome"] == outcome}

    def counter(self, name):
        """A counter of all groups."""
        return self.json["accounting"]["all"]["counters"][name]


def table(path):
    """The rows of a CSV file."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def equal(found, expected, what=""):
    """Fails with both."""
    assert found == expected, f"{what}: {found!r}, not {expected!r}"


def close_4401():
    run = Run("close-4401", [group("reuse", 20, REUSE), group("fetch", 20, FETCH)], duration="9s")
    refused = run.counts["refused"]
    assert refused > 20, run.counts
    equal(run.count("refused_close"), refused)
    equal(run.told("refused_close"), {("refused_close", "close", "4401 token expired", "service", "expired_token", "said")})
    equal(run.count("ok"), run.counts["admitted"])
    equal(run.count("refused_close", "fetch"), 0)
    equal(run.counter("dead_token_handshakes"), refused)
    assert all(row["group"] != "reuse" or row["kind"] == "first" for row in run.outcomes if row["outcome"] == "ok")


def message_44():
    session = """first_message = '40{"token":"{token}"}'
ready = { message_starts_with = '40{"sid"' }
ready_timeout = "2s"
on_message = [{ equals = "2", reply = "3" }]
refused_on = [{ starts_with = "44", words = "/message" }]"""
    run = Run("message-44", [group("g", 10, REUSE, 'token_in = "nowhere"', session)], path="/socket.io/?EIO=4&transport=websocket")
    assert run.counts["refused"] > 10, run.counts
    equal(run.count("refused_message"), run.counts["refused"])
    equal(run.told("refused_message"), {("refused_message", "message", "Invalid token", "service", "expired_token", "known")})
    equal(run.count("ok"), run.counts["admitted"])
    assert run.counts["pongs"] <= run.counts["pings"], run.counts


def first_message_4403():
    session = """first_message = '{"type":"connection_init","payload":{"token":"{token}"}}'
ready = { message_contains = "connection_ack" }"""
    connect = 'token_in = "nowhere"\nsubprotocols = ["graphql-transport-ws"]'
    bad = group("bad", 5, 'grant = "fixed"\ntoken = "not-a-token"', connect, session, "max_attempts = 3")
    run = Run("first-message-4403", [bad])
    equal((run.count("refused_close"), run.counts["refused"], run.count("ok")), (15, 15, 0))
    equal(run.exit, 110, "nobody was ever in")
    assert "none of the 5 clients" in run.text.lower(), run.text


def gateway_page():
    run = Run("gateway-page", [group("g", 10, REUSE, reconnect="refetch_on = [403]")])
    equal(run.count("http_403"), run.counts["refused"])
    grounds = {told[5] for told in run.told("http_403")}
    equal({told[:5] for told in run.told("http_403")}, {("http_403", "http", "403", "edge", "expired_token")})
    assert "proved" in grounds and grounds <= {"proved", "known"}, grounds
    equal(run.counter("dead_token_handshakes"), run.counts["refused"])


def own_page():
    run = Run("own-page", [group("g", 10, REUSE, reconnect="refetch_on = [403]")])
    equal(run.count("http_403"), run.counts["refused"])
    equal({told[3:5] for told in run.told("http_403")}, {("unknown", "expired_token")})


def token_endpoint_refuses():
    run = Run("token-endpoint-refuses", [group(clients=5)], duration="3s")
    rows = [(row["answer"], row["status"], row["error"], int(row["count"])) for row in run.tokens]
    equal(rows, [("refused", "401", "invalid_client", run.counts["token_refused"])])
    equal(run.exit, 110)
    assert "the token endpoint refuses the client: 401 invalid_client" in run.text, run.text


def step_refused():
    step = """[[groups.prepare.steps]]
name = "negotiate"
method = "POST"
url = "http://127.0.0.1:PORT/negotiate"
headers = { Authorization = "Bearer {token}" }
save = { id = "/id" }"""
    token = 'grant = "fixed"\ntoken = "old"\n' + step
    run = Run("plain", [group("g", 5, token, 'token_in = "nowhere"', reconnect="max_attempts = 3")], duration="6s")
    equal([(row["step"], row["status"], row["error"], row["count"]) for row in run.steps], [("negotiate", "401", "token_expired", "15")])
    equal(run.exit, 110)
    assert 'the step "negotiate" is refused: 401 token_expired (15 of 15)' in run.text, run.text


def origin():
    run = Run("origin", [group()], duration="6s")
    equal(run.count("http_403"), run.counts["refused"])
    equal({told[4] for told in run.told("http_403")}, {"unknown"}, "fresh tokens were refused as well")


def expires_text():
    run = Run("expires-text", [group()], duration="6s")
    equal((run.count("token_error"), run.count("ok")), (0, run.counts["admitted"]))
    equal(run.counter("tokens_fetched"), run.counts["tokens"])


def proxy_200():
    run = Run("proxy-200", [group()], duration="3s")
    equal(run.count("protocol"), run.counts["refused"])
    equal(run.told("protocol"), {("protocol", "http", "200", "unknown", "", "")})
    equal(run.exit, 110)


def violations():
    for mode, how, said in [
        ("close-1005", "bad_close_code", "target 1005; client 1002"),
        ("masked", "masked_frame", "client 1002"),
    ]:
        run = Run(mode, [group()], duration="5s")
        rows = {(row["initiator"], row["code"], row["how"], row["said"]) for row in run.closes if row["how"] == how}
        equal(rows, {("target", "1006", how, said)}, mode)
        assert {row["initiator"] for row in run.closes} <= {"target", "client"}, run.closes


def anonymous():
    session = "refused_on = [{ contains = '\"user\":null' }]"
    run = Run("anonymous", [group("g", 10, REUSE, session=session)])
    assert run.counts["refused"] >= 10, run.counts
    equal((run.count("refused_message"), run.count("ok")), (run.counts["refused"], run.counts["admitted"]))


def try_later():
    backoff = '{ kind = "exponential", base = "100ms", max = "5s", jitter = "full" }'
    run = Run("try-later", [group("g", 60, 'grant = "none"', 'token_in = "nowhere"', backoff=backoff)], duration="6s")
    assert run.counts["refused"] >= 10, run.counts
    equal((run.count("refused_close"), run.count("ok")), (run.counts["refused"], 50))
    equal({told[4] for told in run.told("refused_close")}, {"overloaded"})
    assert "10 of 60 clients never had a session" in run.text, run.text


def two_streams():
    storm = '[[storms]]\nat = "2s"\nby = "client"\nhow = "rst"\n'
    run = Run("two-streams", [group("g", 5, 'grant = "none"')], duration="5s", rest=storm)
    equal(run.counter("messages_missed"), 0, "no number is guessed")
    equal(run.count("ok"), run.counts["admitted"])


CASES = (
    close_4401,
    message_44,
    first_message_4403,
    gateway_page,
    own_page,
    token_endpoint_refuses,
    step_refused,
    origin,
    expires_text,
    proxy_200,
    violations,
    anonymous,
    try_later,
    two_streams,
)


def check_cases():
    """Every case, several at once: most of what they do is to wait."""
    with ThreadPoolExecutor(5) as pool:
        running = [(case, pool.submit(case)) for case in CASES]
    wrong = [f"{case.__name__}: {run.exception()!r}" for case, run in running if run.exception()]
    assert not wrong, "; ".join(wrong)
    print(f"{len(CASES)} cases are told as their services counted them")


CHECKS = [check_cases]
