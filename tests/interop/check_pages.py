"""Pages and programs: who may connect by `Origin`, and what a browser makes of a target on another port.

A page in headless Chromium gets its token over CORS, connects, is closed with 1001, fetches another token and comes back. Services refuse by `Origin` as Phoenix,
Rails and Python's `websockets` do it, and `diagnose` says so.
"""

import asyncio
import json
import logging
import subprocess
import tempfile
import threading
from http import HTTPStatus
from pathlib import Path

from websockets.asyncio.server import serve
from websockets.exceptions import NegotiationError

from check_report_html import chromium
from processes import LONGEST, RESURGE, counters, free_port, node, target

# What it makes of handshakes that are none is not looked at.
logging.getLogger("websockets").setLevel(logging.CRITICAL + 1)

SCENARIO = """
name = "pages"
duration = "1s"
[target]
url = "ws://{at}/"
[[groups]]
name = "g"
clients = 1
token = {{ grant = "none" }}
[groups.connect]
{connect}
"""


def check_browser_app():
    """Where the page's origin is allowed it comes back each time with a fresh token; where it is not, it gets no token, and no session."""
    port = free_port()
    for allowed, seen in ((f"http://127.0.0.1:{port}", ["open", 1001] * 3), ("http://elsewhere.example", ["no token: TypeError"])):
        rules = {"idle_timeout": "500ms", "allowed_origins": json.dumps([allowed]), "origin_required": "true", "idle_counts": "either"}
        with target("forum", **rules) as address:
            done = subprocess.run(node("page.js", chromium(), address, port), capture_output=True, text=True, timeout=LONGEST)
            assert done.returncode == 0, done.stderr
            assert json.loads(done.stdout) == seen, (allowed, done.stdout)
            counted = counters(address)
        opened = seen.count("open")
        assert (counted["upgrades"], counted["tokens_issued"] >= opened, counted["refused"]) == (opened, True, []), counted


def diagnosed(at, connect=""):
    """The kind of the verdict, its sentence and the change."""
    with tempfile.TemporaryDirectory() as home:
        scenario = Path(home) / "pages.toml"
        scenario.write_text(SCENARIO.format(at=at, connect=connect))
        command = [RESURGE, "diagnose", str(scenario), "--quiet", "--format", "json", "--idle-timeout", "1s", "--wait", "200ms"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST)
        assert done.returncode == 0, (done.stdout, done.stderr)
        verdict = json.loads(done.stdout)["verdict"]
        return verdict["kind"], verdict["sentence"], verdict["change"]


def phoenix(connection, request):
    """Phoenix's `check_origin`: the host of the page is the endpoint's; programs without an Origin may connect."""
    origin = request.headers.get("Origin")
    if origin is not None and origin.partition("://")[2] != request.headers["Host"]:
        return connection.respond(HTTPStatus.FORBIDDEN, "")
    return None


def rails(connection, request):
    """Action Cable's `allow_request_origin?`: a page of the same host, and nobody without an Origin; else 404."""
    if request.headers.get("Origin") != f"http://{request.headers['Host']}":
        return connection.respond(HTTPStatus.NOT_FOUND, "Page not found")
    return None


class Server:
    """A server of Python's `websockets`, on a thread of its own."""

    def __init__(self, **options):
        self.loop = asyncio.new_event_loop()
        self.ready, self.options = threading.Event(), options
        threading.Thread(target=self.run, daemon=True).start()
        assert self.ready.wait(10)

    def run(self):
        """Serves until the process ends."""

        async def main():
            server = await serve(lambda socket: socket.wait_closed(), "127.0.0.1", 0, **self.options)
            self.at = "127.0.0.1:{}".format(server.sockets[0].getsockname()[1])
            self.ready.set()
            await asyncio.sleep(LONGEST)

        self.loop.run_until_complete(main())


def check_origins():
    """`diagnose` names the Origin where that is it, and what to set."""
    evil = 'origin = "https://evil.example"'
    kind, sentence, change = diagnosed(Server(process_request=phoenix).at, evil)
    assert kind == "origin_refused" and "with none it is admitted" in sentence and "Leave connect.origin out" in change, (kind, sentence)
    at = Server(process_request=rails).at
    for connect in ("", evil):
        kind, sentence, change = diagnosed(at, connect)
        assert kind == "origin_refused" and "gets 404" in sentence and f'connect.origin = "http://{at}"' in change, (kind, sentence, change)
    # websockets' own list of origins, and it says so.
    at = Server(origins=["https://app.example.com"]).at
    kind, sentence, change = diagnosed(at, evil)
    assert kind == "origin_refused" and "it says so" in sentence, (kind, sentence)
    kind, *rest = diagnosed(at, 'origin = "https://app.example.com"')
    assert kind == "healthy", (kind, rest)


def check_subprotocol():
    """A server that takes no client without its subprotocol, as OCPP's do: `diagnose` names it."""

    def choose(connection, offered):
        if "ocpp1.6" not in offered:
            raise NegotiationError("no ocpp1.6")
        return "ocpp1.6"

    kind, sentence, change = diagnosed(Server(select_subprotocol=choose).at)
    assert kind == "subprotocol_wrong" and 'connect.subprotocols = ["ocpp1.6"]' in change, (kind, sentence, change)


CHECKS = [check_browser_app, check_origins, check_subprotocol]
