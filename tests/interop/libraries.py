"""Real client libraries (`node/libraries.js`) against `resurge serve`, with a proxy between them that notes when they come."""

import contextlib
import json
import socket
import threading
import time
import tomllib
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

from processes import ROOT, node, started

POLICIES = ROOT / "src/scenario/policies"
SERVICES = ROOT / "scenarios/services"


@dataclass
class Client:
    """A client of a library, and what it is to do."""

    id: str
    library: str
    address: str
    token: str
    beat: int | None = None
    events: list = field(default_factory=list)

    def said(self, event):
        """What the library said of this kind."""
        return [detail for name, detail in self.events if name == event]


@contextlib.contextmanager
def running(clients):
    """Connects the clients; their events come in while the block runs, `late` among them, in milliseconds: how late the clients or we were."""
    by_id = {client.id: client for client in clients}
    wanted = [{key: value for key, value in vars(client).items() if key != "events"} for client in clients]
    with started(node("libraries.js", json.dumps(wanted)), stdin=-1) as process:

        def collect():
            for line in process.stdout:
                event = json.loads(line)
                whose = [by_id[event["id"]]] if event["id"] in by_id else clients
                for client in whose:
                    client.events.append((event["event"], event["detail"]))

        over = threading.Event()

        def lateness():
            while not over.is_set():
                before = time.monotonic()
                time.sleep(0.02)
                late = time.monotonic() - before - 0.02
                if late > 0.02:
                    for client in clients:
                        client.events.append(("late", 1000 * late))

        reader = threading.Thread(target=collect, daemon=True)
        reader.start()
        threading.Thread(target=lateness, daemon=True).start()
        try:
            yield
            assert process.poll() is None, f"the clients have ended with {process.returncode}"
        finally:
            over.set()
            process.stdin.close()
            process.wait(10)
            reader.join(10)


def until(holds, longest):
    """Waits until something holds; whether it did in time."""
    end = time.monotonic() + longest
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def fetch_token(address):
    """A token of the target's."""
    form = {"grant_type": "client_credentials", "client_id": "app", "client_secret": "demo-secret"}
    with urllib.request.urlopen(f"http://{address}/oauth/token", urllib.parse.urlencode(form).encode(), timeout=10) as answer:
        return json.load(answer)["access_token"]


def close_all(address, code):
    """The target closes all sessions; how many."""
    body = json.dumps({"code": code, "fraction": 1.0}).encode()
    request = urllib.request.Request(f"http://{address}/_resurge/close", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def policy(name):
    """What a shipped policy says of reconnects."""
    return tomllib.loads((POLICIES / f"{name}.toml").read_text())["reconnect"]


class Proxy:
    """Passes bytes on, and notes when requests come and when the service has spoken last."""

    def __init__(self, to):
        # Who serves the next connection.
        self.to = to
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        # (moment, the request's first line; or None where the service spoke, or ended a session)
        self.notes = []
        # Whether sessions end right after their 101.
        self.cuts = False
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        """Takes connections until it is closed."""
        while True:
            try:
                client, _ = self.listener.accept()
                host, port = self.to.rsplit(":", 1)
                server = socket.create_connection((host, int(port)), 10)
            except OSError:
                return
            server.settimeout(None)
            for one in (client, server):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            is_session = threading.Event()
            threading.Thread(target=self.ask, args=(client, server, is_session), daemon=True).start()
            threading.Thread(target=self.answer, args=(server, client, is_session), daemon=True).start()

    def ask(self, client, server, is_session):
        """Passes on what the client says."""
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                if data.startswith((b"GET ", b"POST ")):
                    self.notes.append((time.monotonic(), data.split(b"\r\n", 1)[0].decode()))
                    if b"upgrade: websocket" in data.lower():
                        is_session.set()
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)

    def answer(self, server, client, is_session):
        """Passes on what the service says."""
        closes = False
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                self.notes.append((time.monotonic(), None))
                # The end of the connection is no news after a close frame.
                closes = data.startswith(b"\x88")
                head, end, _ = data.partition(b"\r\n\r\n")
                if self.cuts and head.startswith(b"HTTP/1.1 101"):
                    client.sendall(head + end)
                    break
                client.sendall(data)
        if is_session.is_set() and not closes:
            self.notes.append((time.monotonic(), None))
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_WR)
        server.close()

    def waits_since(self, moment, first):
        """How long the client waited before each attempt since then: from what the service said last to the request with which an attempt begins."""
        waits, last = [], None
        for at, line in list(self.notes):
            if at >= moment and line is None:
                last = at
            elif last is not None and line is not None and line.startswith(first):
                waits.append(at - last)
        return waits

    def close(self):
        """Takes no more."""
        self.listener.close()
