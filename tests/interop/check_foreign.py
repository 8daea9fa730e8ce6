"""`resurge run` against services that we did not write: Node's `ws`, Python's `websockets`, and nginx with TLS in front.

Outcomes and close codes are right, and what resurge counted is what the service counted.
"""

import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from processes import HERE, LONGEST, RESURGE, UNTIMED, end_and_read, free_port, node, started

SCENARIO = """
name = "foreign"
seed = 1
duration = "6s"

[target]
kind = "remote"
url = "{url}"
token_url = "{token_url}"
{more}

[[groups]]
name = "fresh"
clients = 20
start = {{ over = "1s" }}
[groups.token]
client_id = "c"
client_secret = "s"
on_reconnect = "fetch"
[groups.reconnect]
backoff = {{ kind = "constant", base = "100ms" }}

[[groups]]
name = "stale"
clients = 5
start = {{ over = "1s" }}
[groups.token]
client_id = "c"
client_secret = "s"
on_reconnect = "reuse"
[groups.reconnect]
backoff = {{ kind = "constant", base = "100ms" }}
refetch_on = []
max_attempts = 2
"""


def rows(folder, name):
    """The rows of a CSV file."""
    with open(folder / name, newline="") as file:
        return list(csv.DictReader(file))


def run_against(home, url, token_url, more="", code=0):
    """Runs the scenario, which ends with that code; answers with its folder's numbers."""
    scenario, folder = home / "foreign.toml", home / "run"
    scenario.write_text(SCENARIO.format(url=url, token_url=token_url, more=more) + UNTIMED)
    command = [RESURGE, "run", str(scenario), "--out", str(folder), "--progress", "none"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    outcomes = {}
    for row in rows(folder, "outcomes.csv"):
        key = (row["group"], row["kind"], row["outcome"], row["cause"])
        outcomes[key] = int(row["count"])
    closes = {}
    for row in rows(folder, "closes.csv"):
        key = (row["initiator"], row["code"])
        closes[key] = closes.get(key, 0) + int(row["count"])
    manifest = json.loads((folder / "run.json").read_text())
    assert manifest["accounting"]["closes"], manifest["accounting"]
    return outcomes, closes, manifest["accounting"]["all"]["counters"]


def check_outcomes(outcomes):
    """Fresh tokens are admitted, stale ones refused; nothing else happens."""
    kinds = {(group, kind, outcome) for group, kind, outcome, _ in outcomes}
    expected = {("fresh", "first", "ok"), ("fresh", "reconnect", "ok"), ("stale", "first", "ok"), ("stale", "reconnect", "http_403")}
    assert kinds == expected, outcomes
    # A bare 403 with a token that may be good: the evidence does not suffice.
    assert outcomes[("stale", "reconnect", "http_403", "unknown")] == 10, outcomes


def check_counts(outcomes, counters, count):
    """What resurge counted is what the service counted."""
    opened = sum(n for (_, _, outcome, _), n in outcomes.items() if outcome == "ok")
    refused = sum(n for (_, _, outcome, _), n in outcomes.items() if outcome == "http_403")
    assert (opened, refused, counters["tokens_fetched"]) == (count["opened"], count["refused"], count["tokens"]), (outcomes, count)


def check_idle_service(command):
    """A service that closes idle sessions with 1001."""
    with tempfile.TemporaryDirectory() as home, started(command) as service:
        ports = service.stdout.readline().split()
        urls = f"ws://127.0.0.1:{ports[0]}/events", f"http://127.0.0.1:{ports[-1]}/oauth/token"
        outcomes, closes, counters = run_against(Path(home), *urls)
        count = end_and_read(service)
    check_outcomes(outcomes)
    check_counts(outcomes, counters, count)
    assert set(closes) == {("target", "1001"), ("client", "1000")}, closes
    assert closes[("target", "1001")] >= 80, closes
    by_code = {code: n for (_, code), n in closes.items()}
    assert by_code == count["closes"], (by_code, count)


def check_node_service():
    """Node's `ws`."""
    check_idle_service(node("server.js"))


def check_python_service():
    """Python's `websockets`."""
    check_idle_service([sys.executable, str(HERE / "service.py"), "1"])


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
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {home}/cert.pem;
        ssl_certificate_key {home}/key.pem;
        location / {{
            proxy_pass http://127.0.0.1:{behind};
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection upgrade;
            proxy_read_timeout 2s;
        }}
        location /gone/ {{
            proxy_pass http://127.0.0.1:9;
        }}
    }}
}}
"""


def write_certificate(home):
    """A certificate for 127.0.0.1, its own authority."""
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=interop", "-addext"]
    command += ["subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"]
    command += ["-keyout", f"{home}/key.pem", "-out", f"{home}/cert.pem"]
    subprocess.run(command, check=True, capture_output=True, timeout=LONGEST)


def wait_for(port, seconds=10):
    """Waits until somebody listens there."""
    import socket
    import time

    for _ in range(seconds * 10):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError(f"nobody listens on {port}")


def check_nginx():
    """nginx closes idle connections after `proxy_read_timeout`, without a close frame: 1006. Over TLS."""
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    assert os.path.exists(nginx), "nginx is not installed"
    service = [sys.executable, str(HERE / "service.py"), "0"]
    with tempfile.TemporaryDirectory() as home, started(service) as behind:
        ports = behind.stdout.readline().split()
        port = free_port()
        write_certificate(home)
        config = Path(home) / "nginx.conf"
        config.write_text(NGINX.format(home=home, port=port, behind=ports[0]))
        with started([nginx, "-c", str(config), "-p", home], stderr=subprocess.DEVNULL):
            wait_for(port)
            tokens = f"http://127.0.0.1:{ports[1]}/oauth/token"
            trust = f'ca_file = "{home}/cert.pem"'
            outcomes, closes, counters = run_against(Path(home), f"wss://127.0.0.1:{port}/events", tokens, trust)
            (Path(home) / "edge").mkdir()
            edge, _, _ = run_edge(Path(home) / "edge", f"wss://127.0.0.1:{port}/gone/", tokens, trust)
        count = end_and_read(behind)
    check_outcomes(outcomes)
    opened = sum(n for (_, _, outcome, _), n in outcomes.items() if outcome == "ok")
    assert opened == count["opened"], (outcomes, count)
    assert set(closes) == {("network", "1006"), ("client", "1000")}, closes
    assert closes[("network", "1006")] >= 40, closes
    assert set(edge) == {("fresh", "first", "http_5xx", ""), ("stale", "first", "http_5xx", "")}, edge


def run_edge(home, url, tokens, trust):
    """What nginx answers where nobody is behind it: 502. A run in which nobody was ever in is not valid (110)."""
    return run_against(home, url, tokens, trust, code=110)


# Of each way to break the protocol: how the session ends, what each side said, and with which code the client closes.
VIOLATIONS = {
    "close-1005": ("1006", "bad_close_code", "target 1005; client 1002", "1002"),
    "masked": ("1006", "masked_frame", "client 1002", "1002"),
    "reserved": ("1006", "reserved_bits", "client 1002", "1002"),
    "opcode": ("1006", "bad_opcode", "client 1002", "1002"),
    "utf8": ("1006", "bad_utf8", "client 1007", "1007"),
    "large": ("1006", "too_large", "client 1009", "1009"),
    "says-1002": ("1002", "", "target 1002", "1002"),
}
GROUP = """
[[groups]]
name = "{name}"
clients = 5
start = "at-once"
token = {{ grant = "none" }}
session = {{ max_message_bytes = 1048576 }}
connect = {{ url = "ws://127.0.0.1:{port}/{name}" }}
reconnect = {{ backoff = {{ kind = "constant", base = "20s" }} }}
"""


def check_violations():
    """Node's `ws`, which is made to break the protocol: each violation is the service's, by name."""
    with tempfile.TemporaryDirectory() as home, started(node("violations.js")) as service:
        port = service.stdout.readline().strip()
        scenario, folder = Path(home) / "violations.toml", Path(home) / "run"
        target = f'[target]\nkind = "remote"\nurl = "ws://127.0.0.1:{port}/"\n'
        groups = "".join(GROUP.format(name=name, port=port) for name in VIOLATIONS)
        scenario.write_text(f'duration = "4s"\n{target}{groups}{UNTIMED}')
        command = [RESURGE, "run", str(scenario), "--out", str(folder), "--progress", "none"]
        subprocess.run(command, capture_output=True, timeout=LONGEST)
        ends = {(row["group"], row["initiator"], row["code"], row["how"], row["said"]): row["count"] for row in rows(folder, "closes.csv")}
        told = end_and_read(service)
    expected = {(name, "target", code, how, said): "5" for name, (code, how, said, _) in VIOLATIONS.items()}
    assert ends == expected, ends
    assert told == {f"/{name}": {code: 5} for name, (*_, code) in VIOLATIONS.items()}, told


CHECKS = [check_node_service, check_python_service, check_nginx, check_violations]
