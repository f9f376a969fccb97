"""A token server on loopback: the standard library's HTTP server over TLS, told what to say."""

import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl


@dataclass(frozen=True, slots=True)
class Told:
    """One answer; a mapping goes as JSON.  form is how its length is told."""

    body: Mapping[str, Any] | bytes
    status: int = 200
    form: str = "length"  # or "chunks", "end"
    fields: Mapping[str, str] = field(default_factory=dict)

    @property
    def octets(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(dict(self.body)).encode()


@dataclass(slots=True)
class TokenServer:
    """forms are what was sent; the last of the answers repeats."""

    url: str
    answers: list[Told]
    forms: list[dict[str, str]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)


@contextmanager
def token_server(context: ssl.SSLContext, *answers: Told) -> Iterator[TokenServer]:
    """One that speaks as long as the block runs; its certificate is the context's."""
    told = TokenServer("", list(answers))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            octets = self.rfile.read(int(self.headers["Content-Length"]))
            told.forms.append(dict(parse_qsl(octets.decode(), strict_parsing=True)))
            told.headers.append({"path": self.path, **dict(self.headers)})
            answer = told.answers.pop(0) if len(told.answers) > 1 else told.answers[0]
            self.send_response(answer.status)
            for name, value in answer.fields.items():
                self.send_header(name, value)
            self._write(answer)

        def _write(self, answer: Told) -> None:
            octets = answer.octets
            if answer.form == "chunks":
                self.send_header("Transfer-Encoding", "chunked")
                parts = [octets[at : at + 7] for at in range(0, len(octets), 7)]
                octets = b"".join(b"%x;x=y\r\n%s\r\n" % (len(it), it) for it in [*parts, b""])
            elif answer.form == "length":
                self.send_header("Content-Length", str(len(octets)))
            self.close_connection = True
            self.end_headers()
            self.wfile.write(octets)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    told.url = f"https://127.0.0.1:{server.server_address[1]}/oauth/token?v=2"
    # A client that refuses our certificate is no error of this server's.
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
