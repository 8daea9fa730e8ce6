"""Starlette on uvicorn: `/before` refuses by a close before the accept, `/after` by 4401 after it; a session ends with its token, by 1001.

The first line on stdout is the port; on SIGTERM it prints what it counted, and ends.
"""

import asyncio
import socket

import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocketDisconnect

from book import Book, bearer, end_some_time, survive_sigterm

WORDS = {"expired_token": "Token expired", "unknown_token": "Who is this?"}
book = Book()


async def issue(request):
    """The token endpoint."""
    return JSONResponse(book.issue((await request.body()).decode()))


async def before(websocket):
    """Refuses before the accept: the client sees a bare 403, and never the code."""
    token = bearer(websocket.headers.get("authorization", ""))
    if why := book.why_not(token):
        book.refused(token, why)
        await websocket.close(4401, "Unauthorized")
        return
    await websocket.accept()
    await hold(websocket, token)


async def after(websocket):
    """Refuses after the accept, by a close code and in words."""
    token = bearer(websocket.headers.get("authorization", ""))
    await websocket.accept()
    if why := book.why_not(token):
        book.refused(token, why)
        book.closed(4401)
        await websocket.close(4401, WORDS[why])
        return
    await hold(websocket, token)


async def hold(websocket, token):
    """A session, until the client leaves or the token ends."""
    book.admitted(token)
    try:
        async with asyncio.timeout(book.left(token)):
            while True:
                await websocket.receive_text()
    except TimeoutError:
        book.closed(1001)
        await websocket.close(1001, "Token ended")
    except WebSocketDisconnect as left:
        book.closed(left.code)


def main():
    """Serves until it is told to end."""
    survive_sigterm()
    end_some_time()
    routes = [Route("/token", issue, methods=["POST"]), WebSocketRoute("/before", before), WebSocketRoute("/after", after)]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), log_level="critical", lifespan="off"))
        server.run(sockets=[listener])
    book.tell()


main()
