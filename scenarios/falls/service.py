"""A service with Python's `websockets`: `service.py ADDRESS PORT LOG SECRET`.

It lets in whoever shows a token of `rig.py`, and holds the session until the client leaves. SIGTERM ends it as the library does: each session is
closed with 1001. Every session is two lines of LOG, JSON with the time: one when it was opened, one when it was over, with its code.
"""

import asyncio
import hmac
import http
import json
import logging
import signal
import sys
import time

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed


def is_good(token, secret):
    """Whether the rig has issued a token."""
    name, _, mark = token.rpartition(".")
    return bool(name) and hmac.compare_digest(mark, hmac.digest(secret.encode(), name.encode(), "sha256").hex())


async def main(address, port, path, secret):
    """Serves until SIGTERM."""
    log = open(path, "a", buffering=1)
    numbers = iter(range(1, sys.maxsize))

    def tell(what, **more):
        log.write(json.dumps({"time": time.time(), "what": what, "service": int(port), **more}) + "\n")

    def guard(connection, request):
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if is_good(token, secret):
            return None
        tell("refused")
        return connection.respond(http.HTTPStatus.UNAUTHORIZED, "The token is not good.\n")

    class Session(ServerConnection):
        """Tells when the service begins to close it, whoever asks for that."""

        async def close(self, code=1000, reason=""):
            tell("closing", code=code)
            await super().close(code, reason)

    async def session(connection):
        number = next(numbers)
        tell("opened", session=number)
        try:
            async for _ in connection:
                pass
        except ConnectionClosed:
            pass
        tell("over", session=number, code=connection.close_code)

    # Of clients that went away before they were in, the library would tell at length.
    logging.getLogger("websockets").setLevel(logging.CRITICAL)
    ending = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.set)
    rules = {"process_request": guard, "ping_interval": None, "close_timeout": 1}
    # The clients ping, where a scenario wants that.
    async with serve(session, address, int(port), create_connection=Session, **rules):
        tell("up")
        await ending.wait()
        tell("asked to end")
    tell("down")


asyncio.run(main(*sys.argv[1:]))
