"""TLS sessions that clients resume, against servers that we did not write: what nginx and OpenSSL count as reused is what we count.

The embedded target's tickets are looked at by OpenSSL's own client.
"""

import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from processes import LONGEST, RESURGE, UNTIMED, end_and_read, free_port, node, started

CLIENTS = 4

NGINX = """
daemon off;
worker_processes 2;
pid {home}/nginx.pid;
error_log {home}/error.log;
events {{}}
http {{
  client_body_temp_path {home}/body; proxy_temp_path {home}/proxy; fastcgi_temp_path {home}/f; uwsgi_temp_path {home}/u; scgi_temp_path {home}/s;
  log_format reused "$ssl_protocol $ssl_session_reused $status";
  access_log {home}/access.log reused;
  ssl_certificate {home}/cert.pem;
  ssl_certificate_key {home}/key.pem;
  # All workers know each other's tickets.
  ssl_session_cache shared:tls:1m;
  server {{ listen 127.0.0.1:{old} ssl; ssl_protocols TLSv1.2; {location} }}
  server {{ listen 127.0.0.1:{new} ssl; ssl_protocols TLSv1.3; {location} }}
}}
"""
LOCATION = "location / {{ proxy_pass http://127.0.0.1:{service}; proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; }}"

HEAD = """
name = "resumption"
seed = 1
duration = "{duration}"
drain = "5s"
{untimed}
[target]
kind = "remote"
url = "wss://localhost:{port}/none"
ca_file = "{home}/cert.pem"
"""

GROUP = """
[[groups]]
name = "{name}"
clients = {clients}
token = {{ grant = "none" }}
[groups.connect]
url = "wss://localhost:{port}/none"
tls_resumption = "{resumption}"
{more}
[groups.reconnect]
backoff = {{ kind = "constant", base = "100ms" }}
{reconnect}
"""
DISCONNECTS = """
[[groups.disconnects]]
after = "600ms"
"""


def certificate(home):
    """A certificate for localhost, that is its own authority."""
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    # An authority that is a server's certificate as well would not be taken for either.
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"]
    command += ["-keyout", f"{home}/key.pem", "-out", f"{home}/cert.pem"]
    subprocess.run(command, check=True, capture_output=True)


def run(home, groups, duration="2500ms"):
    """Runs them; answers with each group's counts: full and resumed handshakes, upgrades, TCP connections."""
    scenario, folder = Path(home) / "tls.toml", Path(home) / "run"
    scenario.write_text(HEAD.format(untimed=UNTIMED, port=1, home=home, duration=duration) + "".join(groups))
    command = [RESURGE, "run", str(scenario), "--out", str(folder), "--progress", "none"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST)
    manifest = json.loads((folder / "run.json").read_text())
    assert manifest["accounting"]["closes"], (manifest["accounting"], done.stderr)
    hlog = (folder / "summary.csv").read_text()
    counts = {}
    for group in manifest["accounting"]["groups"]:
        name = group["group"]
        of = lambda metric: int((re.search(rf"^{name},{metric},(\d+)", hlog, re.M) or [0, 0])[1])
        counts[name] = {"full": of("tls_full"), "resumed": of("tls_resumed"), **group["counters"]}
    return counts, done


def check_resumption_at_nginx():
    """nginx's `$ssl_session_reused`, by version of TLS, for clients that resume and for those that do not."""
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    with tempfile.TemporaryDirectory() as home, started(node("deflate.js", json.dumps({"none": False}), "[10]")) as service:
        certificate(home)
        old, new = free_port(), free_port()
        location = LOCATION.format(service=int(service.stdout.readline()))
        config = Path(home) / "nginx.conf"
        config.write_text(NGINX.format(home=home, old=old, new=new, location=location))
        with started([nginx, "-c", str(config), "-p", home], stderr=subprocess.DEVNULL):
            rows = [("old", old, "per-client"), ("new", new, "per-client"), ("never", new, "never")]
            make = lambda row: GROUP.format(name=row[0], port=row[1], resumption=row[2], clients=CLIENTS, more="", reconnect=DISCONNECTS)
            ours, done = run(home, map(make, rows))
            assert done.returncode == 0, (done.stdout, done.stderr)
        end_and_read(service)
        lines = (Path(home) / "access.log").read_text().split("\n")
    reused = {version: sum(line.startswith(f"{version} r") for line in lines) for version in ("TLSv1.2", "TLSv1.3")}
    full = {version: sum(line.startswith(f"{version} .") for line in lines) for version in ("TLSv1.2", "TLSv1.3")}
    assert ours["old"]["resumed"] == reused["TLSv1.2"] >= CLIENTS, (ours, reused)
    assert ours["new"]["resumed"] == reused["TLSv1.3"] >= CLIENTS, (ours, reused)
    # Each client's first, and no other.
    assert ours["old"]["full"] == full["TLSv1.2"] == CLIENTS, (ours, full)
    assert ours["new"]["full"] == CLIENTS, ours
    assert full["TLSv1.3"] == CLIENTS + ours["never"]["upgrades"], (ours, full)
    assert ours["never"]["full"] == ours["never"]["resumed"] == 0 < ours["never"]["reconnects"], ours
    print(f"{reused['TLSv1.2']} and {reused['TLSv1.3']} resumed with TLS 1.2 and 1.3, as nginx says")


def check_resumption_at_openssl():
    """`openssl s_server` says of each connection whether its session was reused."""
    with tempfile.TemporaryDirectory() as home:
        certificate(home)
        port = free_port()
        command = ["openssl", "s_server", "-accept", str(port), "-cert", f"{home}/cert.pem", "-key", f"{home}/key.pem"]
        with started([*command, "-num_tickets", "2"], stdin=subprocess.PIPE, stderr=subprocess.STDOUT) as server:
            wait_for_line(server, "ACCEPT")
            # It takes one connection at a time, and speaks no WebSocket: each attempt ends in a timeout behind a handshake that is whole.
            keys = {"more": 'upgrade_timeout = "200ms"', "reconnect": "max_attempts = 4"}
            ours, done = run(home, [GROUP.format(name="g", port=port, resumption="per-client", clients=2, **keys)], "8s")
            server.terminate()
            said = server.stdout.read()
    assert said.count("Reused session-id") == ours["g"]["resumed"] == 6, (ours, done.stdout, said)
    assert ours["g"]["full"] == 2, (ours, done.stdout)
    assert said.count("GET /none") == 8, said
    print("2 full handshakes and 6 resumed, as openssl s_server says")


def wait_for_line(process, begins):
    """Reads what it prints until such a line."""
    for line in process.stdout:
        if line.startswith(begins):
            return
    raise AssertionError(f"it never said {begins}")


def check_tickets_of_the_target():
    """OpenSSL's client resumes at the embedded target, with both versions of TLS."""
    with tempfile.TemporaryDirectory() as home:
        ca, session = f"{home}/ca.pem", f"{home}/session"
        command = [RESURGE, "serve", "--listen", "127.0.0.1:0", "--tls", "--tls-ca-out", ca]
        with started(command, stderr=subprocess.DEVNULL) as target:
            address = target.stdout.readline().strip().rpartition("//")[2]
            for version in ("-tls1_2", "-tls1_3"):
                for flag, expected in (("-sess_out", "New"), ("-sess_in", "Reused")):
                    client = ["openssl", "s_client", "-connect", address, "-CAfile", ca, version, flag, session, "-ign_eof"]
                    request = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
                    said = subprocess.run(client, input=request, capture_output=True, text=True, timeout=20).stdout
                    assert re.search(rf"^{expected}, TLSv1", said, re.M), (version, flag, said)


CHECKS = [check_resumption_at_nginx, check_resumption_at_openssl, check_tickets_of_the_target]
