"""Python's `websockets` and uvicorn with permessage-deflate: `deflating.py`.

Each session is sent messages of many sizes, and has its own messages sent back. `websockets` takes the parameters of its answer from the
URL's path. The first line on stdout is the two ports; on SIGTERM it prints what it counted by path, and ends.
"""

import asyncio
import collections
import contextlib
import functools
import json
import signal
import socket
import sys

import uvicorn
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory

from book import LONGEST, end_some_time

SIZES = json.loads(sys.argv[1])
# What the answer asks for, of those who offer it.
FACTORY = ServerPerMessageDeflateFactory(compress_settings={"memLevel": 5})
STRICT = ServerPerMessageDeflateFactory(True, True, 10, 9)
counted = collections.defaultdict(collections.Counter)


@functools.cache
def text(size, turn):
    """Text as services send it: not the same twice."""
    parts = (json.dumps({"topic": "v2.events", "id": n * 7919 + turn, "ok": n % 3 == 0}) for n in range(size))
    out = ""
    while len(out) < size:
        out += next(parts)
    return out[:size]


class Counting(ServerConnection):
    """Counts what goes over TCP."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.read = self.written = 0
        original = self.protocol.data_to_send

        def data_to_send():
            parts = original()
            self.written += sum(map(len, parts))
            return parts

        self.protocol.data_to_send = data_to_send

    def data_received(self, data):
        self.read += len(data)
        super().data_received(data)


async def talk(own, send, receive):
    """Says all sizes, and says back what it hears."""
    own["sessions"] += 1

    async def say(message):
        await send(message)
        own["out"] += 1
        own["plain_out"] += len(message.encode())

    for turn, size in enumerate(SIZES):
        await say(text(size, turn))
    while True:
        message = await receive()
        own["in"] += 1
        own["plain_in"] += len(message.encode())
        await say(message)


async def session(connection):
    """A session of `websockets`."""
    own = counted[connection.request.path.strip("/")]
    own["agreed"] += bool(connection.protocol.extensions)
    with contextlib.suppress(ConnectionClosed):
        await talk(own, connection.send, connection.recv)
    await connection.wait_closed()
    own["read"] += connection.read
    own["written"] += connection.written


async def application(scope, receive, send):
    """A session of uvicorn (ASGI)."""
    if scope["type"] != "websocket":
        return
    own = counted["uvicorn"]
    await receive()
    await send({"type": "websocket.accept"})

    async def hear():
        event = await receive()
        if event["type"] != "websocket.receive":
            raise ConnectionError
        return event["text"]

    with contextlib.suppress(ConnectionError):
        await talk(own, lambda message: send({"type": "websocket.send", "text": message}), hear)


async def main():
    """Serves until it is told to end."""
    ending = asyncio.get_running_loop().create_future()
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(application, log_level="critical", lifespan="off", ws="websockets")
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext
    task = asyncio.create_task(server.serve(sockets=[listener]))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.set_result, None)
    options = {"create_connection": Counting, "ping_interval": None, "compression": None, "max_size": None}
    async with (
        serve(session, "127.0.0.1", 0, extensions=[FACTORY], **options) as free,
        serve(session, "127.0.0.1", 0, extensions=[STRICT], **options) as strict,
    ):
        ports = [place.sockets[0].getsockname()[1] for place in (free, strict)]
        print(*ports, listener.getsockname()[1], flush=True)
        await asyncio.wait([ending], timeout=LONGEST)
        await asyncio.sleep(0.3)
    server.should_exit = True
    await task
    print(json.dumps(counted), flush=True)


end_some_time()
asyncio.run(main())
