"""A service with Python's `websockets`: `service.py IDLE_SECONDS`, 0 for none.

Tokens by POST /oauth/token on a port of its own; a token dies with the session that it opened; a session without a message for that long
is closed with 1001. The first line on stdout is the two ports; on SIGTERM it prints what it counted, and ends.
"""

import asyncio
import collections
import http.server
import json
import secrets
import signal
import sys
import threading

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

count = {"tokens": 0, "opened": 0, "refused": 0}
closes = collections.Counter()
good = set()


class TokenEndpoint(http.server.BaseHTTPRequestHandler):
    """Issues a token to whoever asks."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        token = secrets.token_hex(16)
        good.add(token)
        count["tokens"] += 1
        body = json.dumps({"access_token": token, "token_type": "bearer", "expires_in": 3600}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Nothing is logged."""


def token_of(request):
    """The bearer token of a request."""
    return request.headers.get("Authorization", "").removeprefix("Bearer ")


def guard(connection, request):
    """Refuses a token that is not good."""
    if token_of(request) in good:
        return None
    count["refused"] += 1
    return connection.respond(403, "Forbidden\n")


async def session(connection, idle):
    """Holds a session until the client leaves or is idle."""
    token = token_of(connection.request)
    count["opened"] += 1
    try:
        while True:
            await asyncio.wait_for(connection.recv(), idle)
    except TimeoutError:
        good.discard(token)
        await connection.close(1001, "Idle Timeout")
    except ConnectionClosed:
        pass
    good.discard(token)
    await connection.wait_closed()
    closes[connection.close_code] += 1


async def main():
    """Serves until it is told to end, a minute at most."""
    idle = float(sys.argv[1]) or None
    tokens = http.server.ThreadingHTTPServer(("127.0.0.1", 0), TokenEndpoint)
    threading.Thread(target=tokens.serve_forever, daemon=True).start()
    ending = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.set_result, None)
    handler = lambda connection: session(connection, idle)
    async with serve(handler, "127.0.0.1", 0, process_request=guard, ping_interval=None) as server:
        print(server.sockets[0].getsockname()[1], tokens.server_address[1], flush=True)
        try:
            await asyncio.wait_for(ending, 60)
        except TimeoutError:
            pass
        await asyncio.sleep(0.3)
    print(json.dumps({**count, "closes": {str(code): n for code, n in closes.items()}}), flush=True)


asyncio.run(main())
