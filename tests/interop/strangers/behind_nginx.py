"""Python's `websockets`, which lets in whoever comes, and the service that nginx's `auth_request` asks first.

A token that has ended is refused by 401, one that was never good by 403. A session ends with its token, by 1001. The first line on stdout is
the ports of the sessions and of tokens and questions; on SIGTERM it prints what it counted, and ends.
"""

import asyncio
import signal

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from book import LONGEST, Book, bearer, token_endpoint

STATUS = {None: 204, "expired_token": 401, "unknown_token": 403, "no_token": 403}
book = Book()


def judge(headers):
    """What nginx is told of a handshake."""
    token = bearer(headers.get("Authorization", ""))
    why = book.why_not(token)
    if why:
        book.refused(token, why)
    return STATUS[why]


async def session(connection):
    """Holds a session until the client leaves or the token ends."""
    token = bearer(connection.request.headers["Authorization"])
    book.admitted(token)
    try:
        async with asyncio.timeout(book.left(token)):
            while True:
                await connection.recv()
    except TimeoutError:
        await connection.close(1001, "Token ended")
    except ConnectionClosed:
        pass
    book.closed(connection.close_code)


async def main():
    """Serves until it is told to end, a minute at most."""
    ending = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.set_result, None)
    async with serve(session, "127.0.0.1", 0, ping_interval=None) as server:
        print(server.sockets[0].getsockname()[1], token_endpoint(book, judge), flush=True)
        await asyncio.wait([ending], timeout=LONGEST)
        await asyncio.sleep(0.3)
    book.tell()


asyncio.run(main())
