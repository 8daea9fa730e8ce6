"""`report.html` in a real browser: Debian's Chromium, headless, driven by playwright-core.

It draws every plot, asks nobody for anything, logs nothing, fits narrow and wide windows, is light or dark as the system is, and nothing that a
server says becomes part of it.
"""

import json
import shutil
import socketserver
import subprocess
import tempfile
import threading
from pathlib import Path

from processes import LONGEST, RESURGE, ROOT, node

EVIL = "<script>alert(1)</script>"
# Scripts of a page: its data, uPlot, our own.
SCRIPTS = 3

REMOTE = """
name = "evil"
description = "{evil}"
duration = "2s"
[target]
kind = "remote"
url = "ws://127.0.0.1:{port}/{evil}"
[[groups]]
name = "g"
clients = 3
token = {{ grant = "none" }}
[groups.reconnect]
backoff = {{ kind = "constant", base = "200ms" }}
max_attempts = 4
"""


def chromium():
    """The browser's path."""
    found = shutil.which("chromium")
    assert found, "Chromium is missing: .ci/run installs it"
    return found


def look(file):
    """What the browser saw of a page, a view after the other."""
    command = node("look.js", chromium(), file)
    done = subprocess.run(command, capture_output=True, text=True, timeout=3 * LONGEST)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def check_views(file, has_time=True):
    """What must be so of every page; `has_time` says whether it has plots over time, which are zoomed together."""
    views = look(file)
    assert {(view["width"], view["scheme"]) for view in views} == {(w, s) for w in (400, 1600) for s in ("light", "dark")}
    for view in views:
        where = f"{file.parent.name} {view['width']} {view['scheme']}"
        assert view["messages"] == [], (where, view["messages"])
        assert view["requests"] == [file.resolve().as_uri()], (where, view["requests"])
        assert view["dialogs"] == 0 and view["scripts"] == SCRIPTS, where
        assert view["plots"], where
        blank = [plot["id"] for plot in view["plots"] if plot["ink"] < 5]
        assert not blank, (where, blank)
        assert view["overflow"] <= 0 and view["overflow_open"] <= 0, (where, view["overflow"], view["overflow_open"])
        assert len(view["rows"]) == len(view["plots"]) and all(view["rows"]), (where, view["rows"])
        assert view["pressed"] == "false", where
        assert ("zoom" in view) == has_time, where
        if not has_time:
            continue
        zoomed, whole = view["zoom"]["zoomed"], view["zoom"]["whole"]
        assert len({tuple(span) for span in zoomed}) == 1, (where, zoomed)
        assert len({tuple(span) for span in whole}) == 1, (where, whole)
        assert whole[0][0] < zoomed[0][0] < zoomed[0][1] < whole[0][1], (where, zoomed[0], whole[0])
        assert view["zoom"]["readings"] >= len(zoomed), (where, view["zoom"]["readings"], len(zoomed))
    papers = {view["scheme"]: view["paper"] for view in views}
    assert papers["light"] != papers["dark"], papers
    return views


def check_report_html():
    """A storm's report, with every kind of plot."""
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home) / "run"
        fewer = ["--set", "groups.0.clients=60", "--set", "groups.1.clients=60", "--set", "duration=12s", "--set", "storms.0.at=6s"]
        messages = ["--set", "target.messages_every=500ms"]
        command = [RESURGE, "run", "scenarios/deploy-storm.toml", *fewer, *messages, "--progress", "none", "--out", str(folder)]
        subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, timeout=LONGEST, check=False)
        views = check_views(folder / "report.html")
        plots = {plot["id"] for plot in views[0]["plots"]}
        wanted = {"recovery-0", "latency-all", "phases-g0", "percentiles-reconnect", "outcomes-all", "token-fetches", "closes-all", "missed", "lag"}
        assert wanted <= plots, wanted - plots
        print(f"{len(plots)} plots drawn in {len(views)} views of {(folder / 'report.html').stat().st_size} bytes")


class Evil(socketserver.BaseRequestHandler):
    """Refuses every handshake, with markup wherever a server may write."""

    def handle(self):
        self.request.recv(65536)
        body = f'{{"code":"{EVIL}","message":"{EVIL}"}}'
        head = f'HTTP/1.1 403 {EVIL}\r\nX-Reason: {EVIL}\r\nWWW-Authenticate: Bearer error="{EVIL}"\r\n'
        self.request.sendall(f"{head}Content-Type: text/html\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode())


def check_evil_server():
    """A server that sends `<script>` in its reason, headers and body changes nothing in the page; nor does a scenario."""
    socketserver.ThreadingTCPServer.daemon_threads = True
    with tempfile.TemporaryDirectory() as home, socketserver.ThreadingTCPServer(("127.0.0.1", 0), Evil) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        scenario, folder = Path(home) / "evil.toml", Path(home) / "run"
        scenario.write_text(REMOTE.format(evil=EVIL, port=server.server_address[1]))
        command = [RESURGE, "run", str(scenario), "--progress", "none", "--out", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST)
        server.shutdown()
        assert (folder / "report.html").exists(), done.stderr
        text = (folder / "report.html").read_text()
        assert EVIL not in text and "http_403" in text
        check_views(folder / "report.html")


CHECKS = [check_report_html, check_evil_server]
