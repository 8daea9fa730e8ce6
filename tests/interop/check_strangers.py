"""`resurge run` against libraries that we did not write, each refusing in the way that is its own.

Socket.IO by a packet, graphql-ws by 4403 and 4408, Starlette on uvicorn by a close before the accept and after it, nginx by the stock page of
`auth_request`, Jupyter Server by a page of its own, oidc-provider at its token endpoint. For each group, who was let in, who was refused and
why, and which tokens were issued is what the service itself counted, number by number; and every cause that is claimed is the true one.
"""

import collections
import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from check_foreign import wait_for
from processes import HERE, LONGEST, RESURGE, UNTIMED, end_and_read, free_port, node, started

ANSWER = ("outcome", "where", "said", "answered_by", "cause", "ground")
CLIENTS = 10
# So often a client of the group `reuse` is refused before it gives up: long before the run ends.
TRIES = 4

HEAD = """
name = "strangers"
seed = 1
duration = "8s"

{untimed}
[target]
kind = "remote"
url = "{url}"
token_url = "{token_url}"
"""

GROUP = """
[[groups]]
name = "{name}"
clients = {clients}
start = {{ over = "300ms" }}
{more}
[groups.token]
{token}
[groups.connect]
{connect}
[groups.session]
# Well before the tokens end.
admission = "250ms"
{session}
[groups.reconnect]
backoff = {{ kind = "constant", base = "500ms" }}
refetch_on = {refetch_on}
{reconnect}
"""


def group(name, token, refetch_on=(), tries=None, connect="", session="", more=""):
    """A group of the scenario."""
    reconnect = f"max_attempts = {tries}" if tries else ""
    rest = {"connect": connect, "session": session, "more": more, "reconnect": reconnect}
    return GROUP.format(name=name, clients=CLIENTS, token=token, refetch_on=json.dumps(list(refetch_on)), **rest)


def credentials(name, on_reconnect, secret="secret"):
    """Tokens by a client id that is the group's name."""
    return f'client_id = "{name}"\nclient_secret = "{secret}"\non_reconnect = "{on_reconnect}"'


def never_good(name):
    """A token that nobody has issued."""
    return f'grant = "fixed"\ntoken = "{name}.0"'


def four(refetch_on, before="", **how):
    """Who keeps a dead token; who fetches another one when refused; who always fetches; and who has never had a good one."""
    return [
        group(f"{before}reuse", credentials(f"{before}reuse", "reuse"), tries=TRIES, **how),
        group(f"{before}learn", credentials(f"{before}learn", "reuse"), refetch_on, **how),
        group(f"{before}fetch", credentials(f"{before}fetch", "fetch"), **how),
        group(f"{before}wrong", never_good(f"{before}wrong"), tries=TRIES, **how),
    ]


def never_in(*names):
    """The thresholds that ask for just that: without them nobody in is no pass."""
    lines = [f'"attempt_failure_rate{{group:{name}}}" = "rate == 1"' for name in names]
    return "\n[thresholds]\n" + "\n".join(lines) + "\n"


def python(script, *arguments):
    """The command of one of the Python services."""
    return [sys.executable, str(HERE / "strangers" / script), *map(str, arguments)]


def table(folder, name):
    """The rows of a CSV file."""
    with open(folder / name, newline="") as file:
        return list(csv.DictReader(file))


class Run:
    """What a run has counted."""

    def __init__(self, home, groups, url, token_url, thresholds=""):
        scenario, folder = home / "strangers.toml", home / "run"
        scenario.write_text(HEAD.format(untimed=UNTIMED, url=url, token_url=token_url) + "".join(groups) + thresholds)
        command = [RESURGE, "run", str(scenario), "--out", str(folder), "--progress", "none"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST)
        assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
        self.outcomes = table(folder, "outcomes.csv")
        self.closes = collections.Counter()
        for row in table(folder, "closes.csv"):
            self.closes[row["code"]] += int(row["count"])
        accounting = json.loads((folder / "run.json").read_text())["accounting"]
        assert accounting["closes"], accounting
        self.tokens = {group["group"]: group["counters"]["tokens_fetched"] for group in accounting["groups"]}

    def admitted(self, name):
        """How often a client of the group was let in."""
        return sum(int(row["count"]) for row in self.outcomes if row["group"] == name and row["outcome"] == "ok")

    def rows_of(self, name):
        """A group's attempts that were no admission: how many, by what ended them, what was answered, and what is made of it."""
        found = collections.Counter()
        for row in self.outcomes:
            if row["group"] == name and row["outcome"] != "ok":
                found[tuple(row[column] for column in ANSWER)] += int(row["count"])
        return found

    def turned_away(self, name):
        """Those of them that the run's end did not cut off."""
        return collections.Counter({answer: n for answer, n in self.rows_of(name).items() if answer[0] != "aborted"})

    def cut_off(self, name):
        """Those that it did: of what became of them, only the service knows."""
        return self.rows_of(name).total() - self.turned_away(name).total()


def truth_of(counted, name):
    """Why the service has refused the clients of a group, and how often."""
    refused = {tuple(key.split()): n for key, n in counted["refused"].items()}
    return collections.Counter({why: n for (group, why), n in refused.items() if group == name})


def check_accounts(run, counted, names):
    """Each group's admissions, refusals and tokens are what the service counted, and each claimed cause is the true one."""
    for name in names:
        away, truth = run.turned_away(name), truth_of(counted, name)
        told = (run.admitted(name), away.total(), run.tokens[name])
        seen = (counted["admitted"].get(name, 0), truth.total(), counted["tokens"].get(name, 0))
        beyond = [there - here for here, there in zip(told, seen)]
        # A busy machine may be late, so that the run's end cuts off an attempt; without that the numbers are equal.
        assert min(beyond) >= 0 and beyond[0] + beyond[1] <= run.cut_off(name) >= beyond[2], (name, told, seen, run.rows_of(name))
        claimed = collections.Counter()
        for answer, n in away.items():
            claimed[answer[ANSWER.index("cause")]] += n
        del claimed["unknown"]
        assert claimed <= truth, (name, claimed, truth)


def check_closes(run, counted, end):
    """The codes of refusals, and sessions' ends by the service's code `end` or the client's 1000, were seen as often on both sides. Where both
    close at one moment each goes by what it said itself."""

    def sorted_out(closes):
        ends = {code: n for code, n in closes.items() if code in (end, "1000")}
        return sum(ends.values()), {code: n for code, n in closes.items() if code not in ends}

    assert sorted_out(run.closes) == sorted_out(counted["closes"]), (run.closes, counted["closes"])
    assert run.closes[end] >= CLIENTS, run.closes


def check_answer(run, name, *answers):
    """A group was turned away by these answers and by no other."""
    away = run.turned_away(name)
    assert away and set(away) <= set(answers), (name, away)


def check_four(run, counted, dead, never, before="", truth="expired_token", told=("expired_token", "known")):
    """The four groups of `four`. `dead` and `never` are the answers (outcome, where, said, answered_by) to a token that is dead, and to one
    that never was good; `truth` is why a dead one is, and `told` what is made of the answer without a proof."""
    reuse, learn, fetch, wrong = (before + name for name in ("reuse", "learn", "fetch", "wrong"))
    check_accounts(run, counted, [reuse, learn, fetch, wrong])
    known = (*dead, *told)
    # What the service itself has said needs no proof.
    proved = known if told[1] == "said" else (*dead, truth, "proved")
    check_answer(run, reuse, known)
    check_answer(run, learn, known, proved)
    check_answer(run, wrong, (*never, "unknown", "unknown"))
    assert not run.turned_away(fetch), run.turned_away(fetch)
    # Each way back of these has one refusal before it, and proves why; the run's end may come between the two.
    ways_back, away = run.admitted(learn) - CLIENTS, run.turned_away(learn)
    most = away.total() if proved == known else ways_back
    assert 0 < ways_back <= away[proved] <= most, (ways_back, away)
    assert run.admitted(reuse) == CLIENTS < run.admitted(fetch), run.outcomes
    assert run.admitted(wrong) == 0, run.outcomes


def check_uvicorn():
    """Starlette on uvicorn: a close before the accept is a bare 403, one after it is a close."""
    with tempfile.TemporaryDirectory() as home, started(python("on_uvicorn.py")) as service:
        at = f"127.0.0.1:{service.stdout.readline().strip()}"
        groups = [
            *four([403], "before-", connect=f'url = "ws://{at}/before"'),
            *four([4401], "after-", connect=f'url = "ws://{at}/after"'),
        ]
        run = Run(Path(home), groups, f"ws://{at}/", f"http://{at}/token", never_in("before-wrong", "after-wrong"))
        counted = end_and_read(service)
    bare = ("http_403", "http", "403", "unknown")
    expired = ("refused_close", "close", "4401 Token expired", "service")
    # A question mark is nothing that a code or a short sentence has: those words are not kept.
    never = ("refused_close", "close", "4401", "service")
    check_four(run, counted, bare, bare, "before-")
    check_four(run, counted, expired, never, "after-", told=("expired_token", "said"))
    check_closes(run, counted, "1001")


def check_socket_io():
    """Socket.IO's middleware refuses by a packet, and leaves the connection open."""
    session = """
first_message = '40{"token":"{token}"}'
ready = { message_starts_with = '40{"sid"' }
on_message = [{ equals = "2", reply = "3" }]
refused_on = [{ starts_with = "44", words = "/message" }]
"""
    with tempfile.TemporaryDirectory() as home, started(node("strangers.js", "socket.io")) as service:
        at = f"127.0.0.1:{service.stdout.readline().strip()}"
        groups = four(["unauthorized"], connect='token_in = "nowhere"', session=session)
        url = f"ws://{at}/socket.io/?EIO=4&transport=websocket"
        run = Run(Path(home), groups, url, f"http://{at}/token", never_in("wrong"))
        counted = end_and_read(service)
    packet = ("refused_message", "message", "unauthorized", "service")
    check_four(run, counted, packet, packet)
    check_closes(run, counted, "1005")


def check_graphql_ws():
    """graphql-ws refuses by 4403, and by 4408 whoever does not say hello."""
    connect = 'token_in = "nowhere"\nsubprotocols = ["graphql-transport-ws"]'
    ready = """ready = { message_starts_with = '{"type":"connection_ack"' }"""
    hello = """first_message = '{"type":"connection_init","payload":{"token":"{token}"}}'"""
    with tempfile.TemporaryDirectory() as home, started(node("strangers.js", "graphql-ws")) as service:
        at = f"127.0.0.1:{service.stdout.readline().strip()}"
        groups = four([4403], connect=connect, session=f"{hello}\n{ready}")
        groups.append(group("silent", 'grant = "none"', tries=TRIES, connect=connect, session=ready))
        run = Run(Path(home), groups, f"ws://{at}/", f"http://{at}/token", never_in("wrong", "silent"))
        counted = end_and_read(service)
    close = ("refused_close", "close", "4403 Forbidden", "service")
    check_four(run, counted, close, close)
    check_accounts(run, counted, ["silent"])
    late = ("refused_close", "close", "4408 Connection initialisation timeout", "service", "no_token", "known")
    check_answer(run, "silent", late)
    check_closes(run, counted, "4401")


NGINX = """
daemon off;
pid {home}/nginx.pid;
error_log {home}/error.log;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            auth_request /question;
            proxy_pass http://127.0.0.1:{behind};
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection upgrade;
        }}
        location = /question {{
            internal;
            proxy_pass http://127.0.0.1:{asked};
            proxy_pass_request_body off;
            proxy_set_header Content-Length "";
        }}
    }}
}}
"""


def check_auth_request():
    """nginx asks a service who may come in, and answers with its own stock page. That says who answered, and nothing of why."""
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    assert os.path.exists(nginx), "nginx is not installed"
    with tempfile.TemporaryDirectory() as home, started(python("behind_nginx.py")) as service:
        behind, asked = service.stdout.readline().split()
        port, config = free_port(), Path(home) / "nginx.conf"
        config.write_text(NGINX.format(home=home, port=port, behind=behind, asked=asked))
        with started([nginx, "-c", str(config), "-p", home], stderr=subprocess.DEVNULL):
            wait_for(port)
            url, token_url = f"ws://127.0.0.1:{port}/", f"http://127.0.0.1:{asked}/token"
            run = Run(Path(home), four([401]), url, token_url, never_in("wrong"))
        counted = end_and_read(service)
    check_four(run, counted, ("http_401", "http", "401", "edge"), ("http_403", "http", "403", "edge"))
    check_closes(run, counted, "1001")


def check_oidc_provider():
    """oidc-provider issues the tokens, and destroys each with its session; and refuses a client whose secret is wrong."""
    with tempfile.TemporaryDirectory() as home, started(node("strangers.js", "oidc-provider"), stderr=subprocess.DEVNULL) as service:
        at = f"127.0.0.1:{service.stdout.readline().strip()}"
        groups = [*four([401]), group("misfit", credentials("misfit", "fetch", "of another"), tries=TRIES)]
        run = Run(Path(home), groups, f"ws://{at}/", f"http://{at}/token", never_in("wrong", "misfit"))
        counted = end_and_read(service)
    refused = ("http_401", "http", "401 invalid_token", "service")
    check_four(run, counted, refused, refused, truth="stale_token", told=("unknown", "unknown"))
    assert {outcome for outcome, *_ in run.turned_away("misfit")} == {"token_refused"}, run.turned_away("misfit")
    assert counted["token_refusals"] == {"misfit 401 invalid_client": run.turned_away("misfit").total()}, counted
    assert (run.admitted("misfit"), run.tokens["misfit"]) == (0, 0), run.tokens
    check_closes(run, counted, "1001")


def check_jupyter():
    """Jupyter Server refuses by a page of its own: it stands behind nothing. It ends no session, so clients leave by themselves."""
    leave = 'disconnects = [{ after = "3200ms" }]'
    with tempfile.TemporaryDirectory() as home:
        port = free_port()
        with started(python("in_jupyter.py", port, home), stderr=subprocess.DEVNULL) as service:
            tokens = service.stdout.readline().strip()
            wait_for(port)
            url, token_url = f"ws://127.0.0.1:{port}/api/events/subscribe", f"http://127.0.0.1:{tokens}/token"
            run = Run(Path(home), four([403], more=leave), url, token_url, never_in("wrong"))
            counted = end_and_read(service)
    page = ("http_403", "http", "403", "unknown")
    check_four(run, counted, page, page)


# The one that takes longest to start is first.
CHECKS = [check_jupyter, check_uvicorn, check_socket_io, check_graphql_ws, check_auth_request, check_oidc_provider]
