"""Sessions that overlap at a resume, against a service that we did not write: `websockets` sees which of a client's two is open, and when.

The service numbers each client's messages on the session that the client reads: the old one until it has said its welcome on the new one.
"""

import asyncio
import json
import tempfile
import threading
import urllib.parse

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from check_tokens import rows, run

CLIENTS = 5
# How long the service takes for the welcome of a second session.
SLOW_S = 0.3
SCENARIO = """
name = "overlap"
seed = 1
duration = "1600ms"
[target]
kind = "remote"
url = "ws://127.0.0.1:{port}/"
[[groups]]
name = "listeners"
clients = {clients}
token = {{ grant = "none" }}
[groups.prepare]
when = "once"
variables = {{ url = "ws://127.0.0.1:{port}/?client={{client}}" }}
[groups.connect]
url = "{{url}}"
[groups.session]
ready = {{ message_contains = "session_welcome" }}
[[groups.session.on_message]]
contains = "session_reconnect"
save = {{ url = "/reconnect_url" }}
then = "reconnect"
{overlap}
[[groups.session.streams]]
name = "events"
pointer = "/n"
sequence = "/n"
[thresholds]
{thresholds}
"""


class Service(threading.Thread):
    """Moves each client once, and writes down what it sees."""

    def __init__(self):
        super().__init__(daemon=True)
        self.ready = threading.Event()
        self.sent, self.moved, self.open = {}, [], {}

    async def session(self, connection):
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(connection.request.path).query))
        client, is_next = query["client"], "next" in query
        old = self.open.get(client)
        if is_next:
            await asyncio.sleep(SLOW_S)
            was_open = old is not None and old.close_code is None
        await connection.send('{"type":"session_welcome"}')
        self.open[client] = connection
        if is_next:
            await old.wait_closed()
            self.moved.append((was_open, old.close_code))
        else:
            asyncio.get_running_loop().create_task(self.move(connection, client))
        self.sent.setdefault(client, 0)
        try:
            while self.open[client] is connection:
                self.sent[client] += 1
                await connection.send(json.dumps({"n": self.sent[client]}))
                await asyncio.sleep(0.02)
        except ConnectionClosed:
            pass

    async def move(self, connection, client):
        await asyncio.sleep(0.5)
        url = f"ws://127.0.0.1:{self.port}/?client={client}&next=1"
        await connection.send(json.dumps({"type": "session_reconnect", "reconnect_url": url}))

    def run(self):
        asyncio.run(self.serve())

    async def serve(self):
        self.loop, self.stop = asyncio.get_running_loop(), asyncio.get_running_loop().create_future()
        async with serve(self.session, "127.0.0.1", 0) as server:
            self.port = server.sockets[0].getsockname()[1]
            self.ready.set()
            await self.stop

    def end(self):
        self.loop.call_soon_threadsafe(self.stop.set_result, None)
        self.join(10)


def moved(overlap, thresholds):
    """Runs clients that are asked to move; answers with what the service saw, and the run's streams."""
    service = Service()
    service.start()
    service.ready.wait(10)
    try:
        with tempfile.TemporaryDirectory() as home:
            text = SCENARIO.format(port=service.port, clients=CLIENTS, overlap=overlap, thresholds=thresholds)
            folder = run(home, text)
            return service, rows(folder, "streams.csv")
    finally:
        service.end()


def check_overlap():
    """The old session is open when the new one is welcomed, and closed with 1000 then; no message is missed, and nobody was away."""
    in_all_the_time = f'resumes_overlapped = ["count == {CLIENTS}"]\ndisconnects = ["count == 0"]\nattempt_failure_rate = ["rate == 0%"]'
    service, streams = moved('overlap = "5s"', in_all_the_time)
    assert service.moved == [(True, 1000)] * CLIENTS, service.moved
    assert int(streams[0]["missed"]) + int(streams[0]["missed_away"]) == 0, streams
    away = f'resumes_overlapped = ["count == 0"]\ndisconnects = ["count == {CLIENTS}"]\nreconnects = ["count == {CLIENTS}"]'
    for overlap in ["", 'overlap = "100ms"']:
        service, streams = moved(overlap, away)
        assert service.moved == [(False, 1000)] * CLIENTS, service.moved


CHECKS = [check_overlap]
