"""Tokens of a service, and what it counted: the other side of the accounts.

A token is `CLIENT.RANDOM`, and lives for `LIFE` seconds; so whoever shows one is known, also where the token was never good. A service asks
`why_not`, and says what it did of it by `admitted` and `refused`. `token_endpoint` issues tokens over HTTP.
"""

import collections
import http.server
import json
import os
import secrets
import signal
import threading
import time
import urllib.parse

LIFE = 3
LONGEST = 60


class Book:
    """Who has which token, and what became of it."""

    def __init__(self):
        self.lock = threading.Lock()
        self.ends = {}
        self.counts = {name: collections.Counter() for name in ("tokens", "admitted", "refused", "closes")}

    def count(self, name, key):
        """One more of them."""
        with self.lock:
            self.counts[name][key] += 1

    def issue(self, form):
        """The answer to a token request."""
        client = urllib.parse.parse_qs(form)["client_id"][0]
        token = f"{client}.{secrets.token_hex(16)}"
        self.ends[token] = time.monotonic() + LIFE
        self.count("tokens", client)
        return {"access_token": token, "token_type": "bearer", "expires_in": LIFE}

    def left(self, token):
        """For how many more seconds a token is good."""
        return max(self.ends[token] - time.monotonic(), 0)

    def why_not(self, token):
        """Why a token does not open a session; `None`: it does."""
        if not token:
            return "no_token"
        if token not in self.ends:
            return "unknown_token"
        return "expired_token" if self.left(token) <= 0 else None

    def admitted(self, token):
        """A client was let in."""
        self.count("admitted", owner(token))

    def refused(self, token, why):
        """A client was refused."""
        self.count("refused", f"{owner(token)} {why}")

    def closed(self, code):
        """A session has ended."""
        self.count("closes", str(code))

    def tell(self):
        """Prints what was counted."""
        print(json.dumps(self.counts), flush=True)


def owner(token):
    """Whose token it is."""
    return token.partition(".")[0]


def bearer(authorization):
    """The token of an `Authorization` header."""
    return authorization.removeprefix("Bearer ")


def end_some_time():
    """Whatever happens, the process does not outlive its check."""
    timer = threading.Timer(LONGEST, os._exit, [3])
    timer.daemon = True
    timer.start()


def token_endpoint(book, on_get=None):
    """Issues a token to whoever posts a form, on a port of its own; answers with the port. `on_get` answers to GET: with a status."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            form = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self.answer(200, json.dumps(book.issue(form)).encode())

        def do_GET(self):
            self.answer(on_get(self.headers) if on_get else 404, b"")

        def answer(self, status, body):
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            """Nothing is logged."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def survive_sigterm():
    """SIGTERM ends what listens to it, and not the process: the counts are still to be told."""
    signal.signal(signal.SIGTERM, lambda *_: None)
