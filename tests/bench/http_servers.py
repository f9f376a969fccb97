"""The Python peers of `make bench-http`: each answers every request with one file's octets.

    python -m tests.bench.http_servers KIND PORT FILE

FILE holds a whole response of ours; frameworks are given its body and write a head of their own.
The peers' environment and the standard library alone: nothing of the product is imported, and
what is not in the environment that is type-checked is imported where it is used.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from importlib import import_module
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"
BACKLOG = 4096

Send = Callable[[dict[str, Any]], Awaitable[None]]


def limit(port: int, response: bytes) -> None:
    """uvloop's Protocol with nothing in it: what a server in Python cannot be faster than."""
    import uvloop

    class Canned(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport

        def data_received(self, octets: bytes) -> None:
            self.transport.write(response)  # type: ignore[attr-defined]
            self.transport.close()

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Canned, HOST, port, backlog=BACKLOG)
        await server.serve_forever()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())


class Bare:
    """The least that an ASGI server can be asked to call; RSGI's entry beside it."""

    def __init__(self, body: bytes) -> None:
        length = str(len(body)).encode()
        self._start = {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-length", length), (b"content-type", b"text/html")],
        }
        self._body = {"type": "http.response.body", "body": body}
        self._octets = body

    async def __call__(self, scope: dict[str, Any], receive: object, send: Send) -> None:
        if scope["type"] == "http":
            await send(self._start)
            await send(self._body)

    async def __rsgi__(self, scope: object, protocol: Any) -> None:
        protocol.response_bytes(200, [("content-type", "text/html")], self._octets)


def uvicorn(port: int, response: bytes) -> None:
    server: Any = import_module("uvicorn")

    server.run(
        Bare(body_of(response)),
        host=HOST,
        port=port,
        loop="uvloop",
        http="httptools",
        lifespan="off",
        access_log=False,
        log_level="error",
        backlog=BACKLOG,
    )


def granian(interface: str, port: int) -> None:
    """Its worker is a process of its own, which makes its application itself (granian_target)."""
    package: Any = import_module("granian")
    names: Any = import_module("granian.constants")
    package.Granian(
        "tests.bench.http_servers:granian_target",
        factory=True,
        address=HOST,
        port=port,
        interface=names.Interfaces(interface),
        http=names.HTTPModes.http1,
        loop=names.Loops.uvloop,
        workers=1,
        backlog=BACKLOG,
        log_enabled=False,
    ).serve()


def granian_target() -> Bare:
    return Bare(body_of(Path(sys.argv[3]).read_bytes()))


def aiohttp(port: int, response: bytes) -> None:
    import uvloop

    web: Any = import_module("aiohttp.web")
    body = body_of(response)

    async def answer(_: object) -> object:
        return web.Response(body=body, content_type="text/html")

    application = web.Application()
    application.router.add_get("/", answer)
    loop = uvloop.new_event_loop()
    web.run_app(
        application,
        host=HOST,
        port=port,
        print=None,
        access_log=None,
        backlog=BACKLOG,
        loop=loop,
    )


def stdlib(port: int, response: bytes) -> None:
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    body = body_of(response)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = BACKLOG

    Server((HOST, port), Handler).serve_forever()


def body_of(response: bytes) -> bytes:
    return response.partition(b"\r\n\r\n")[2]


def main() -> None:
    kind, port, file = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    if kind.startswith("granian-"):
        granian(kind.removeprefix("granian-"), port)
        return
    kinds = {"limit": limit, "uvicorn": uvicorn, "aiohttp": aiohttp, "http.server": stdlib}
    kinds[kind](port, file.read_bytes())


if __name__ == "__main__":
    main()
