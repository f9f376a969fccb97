"""`make demo`: the whole tour in a throw-away folder, told step by step.

A daemon of its own on free ports, every example of config/jobs/, a job with mistakes, the
pages, the dialogue on the wire, an orderly stop.  Nothing of it stays.
"""

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rich.console import Console
from rich.markup import escape

EXAMPLES = Path("config/jobs")
STEP_S = 20.0  # longest wait for any one step
WRONG_JOB = """\
from: demo@example.org
to: [reader@example.com, nobody]
subjekt: a mistake on purpose
text: hello
"""

console = Console(highlight=False, soft_wrap=True)


class DemoFailed(Exception):
    """A step did not do what it should; str() says which."""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _write_config(folder: Path) -> tuple[Path, int]:
    """Settings like config/asyncnet.toml's, in a folder and on ports of their own."""
    port = _free_port()
    path = folder / "asyncnet.toml"
    path.write_text(
        f"""
[http]
listen = "127.0.0.1:0"
[spool]
dir = "{folder / "spool"}"
attachment_roots = ["{EXAMPLES.resolve()}"]
allow_server = true
[account.local]
host = "127.0.0.1"
port = {port}
tls = "none"
[sink]
listen = "127.0.0.1:{port}"
maildir = "{folder / "maildir"}"
[log]
format = "json"
""",
        encoding="utf-8",
    )
    return path, port


def _step(text: str) -> None:
    console.print(f"\n[bold cyan]▶ {escape(text)}[/]")


async def _ready(stderr: asyncio.StreamReader) -> dict[str, Any]:
    """Read the daemon's log until it says that it is ready."""
    async with asyncio.timeout(STEP_S):
        async for line in stderr:
            text = line.decode("utf-8", "replace").rstrip()
            if not text.startswith("{"):
                raise DemoFailed(text)
            event: dict[str, Any] = json.loads(text)
            if event["event"] == "ready":
                return event
    raise DemoFailed("the daemon ended before it was ready")


async def _drain(stderr: asyncio.StreamReader) -> None:
    """Keep reading, or the daemon would wait for us once the pipe is full."""
    async for _ in stderr:
        pass


async def _result(spool: Path, name: str) -> dict[str, Any]:
    places = [spool / folder / f"{name}.result.json" for folder in ("sent", "failed")]
    async with asyncio.timeout(STEP_S):
        while True:
            for place in places:
                if place.exists():
                    document: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
                    return document
            await asyncio.sleep(0.02)  # a person watches: a fiftieth of a second is at once


def _drop(spool: Path, name: str, text: str) -> None:
    aside = spool / "pickup" / f".{name}"
    aside.write_text(text, encoding="utf-8")
    aside.rename(spool / "pickup" / name)


async def _show_examples(spool: Path, examples: list[Path]) -> None:
    for example in examples:
        _drop(spool, example.name, example.read_text(encoding="utf-8"))
    failed = []
    for example in examples:
        result = await _result(spool, example.stem)
        if result["status"] != "sent":
            failed.append(f"{example.name}: {result['status']}")
        console.print(
            f"  [green]{result['status']}[/]  {example.name}, {result['size_octets']} octets"
        )
        for recipient in result["recipients"]:
            words = escape(f"{recipient['code']} {recipient['text']}")
            console.print(f"        {recipient['address']:<22} {words}")
    if failed:
        raise DemoFailed(f"not every example was sent: {', '.join(failed)}")


async def _show_wrong_job(spool: Path) -> None:
    console.print(escape(WRONG_JOB.rstrip()), style="dim")
    _drop(spool, "wrong.yaml", WRONG_JOB)
    result = await _result(spool, "wrong")
    console.print(f"failed/wrong.result.json says [red]{result['status']}[/]:")
    for error in result["errors"]:
        advice = f"; {error['suggestion']}" if error["suggestion"] else ""
        console.print(
            f"  line {error['line']}, column {error['column']}: "
            f"{escape(error['field'])}: {escape(error['problem'] + advice)}"
        )


async def _get(host: str, port: int, request: str) -> str:
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(f"{request} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    async with asyncio.timeout(STEP_S):
        answer = await reader.read(-1)
    writer.close()
    return answer.decode("utf-8")


async def _show_pages(place: str) -> None:
    parts = urlsplit(place)
    assert parts.hostname is not None
    assert parts.port is not None
    for request in ("GET /", "GET /page2", "GET /page3", "GET /nothing", "POST /", "GET /"):
        answer = await _get(parts.hostname, parts.port, request)
        status = answer.partition("\r\n")[0].removeprefix("HTTP/1.1 ")
        title = re.search(r"<title>(.*?)</title>", answer)
        counter = re.search(r'id="counter">(\d+)<', answer)
        shown = f"the counter shows {counter[1]}" if counter else title[1] if title else ""
        console.print(f"  {request:<14} {status:<16} {escape(shown)}")


async def _show_maildir(folder: Path) -> None:
    for mail in sorted((folder / "maildir" / "new").iterdir()):
        console.print(f"  {mail.stat().st_size:>8} octets  maildir/new/{escape(mail.name)}")


async def _show_dialogue(config: Path, port: int) -> None:
    command = [sys.executable, "-m", "asyncnet", "send", str(EXAMPLES / "hello.yaml")]
    command += ["--config", str(config), "--server", f"127.0.0.1:{port}", "--tls", "none"]
    process = await asyncio.create_subprocess_exec(*command, "--trace")
    async with asyncio.timeout(STEP_S):
        if await process.wait() != 0:
            raise DemoFailed("asyncnet send did not send")


async def _tour(folder: Path, examples: list[Path]) -> None:
    config, port = _write_config(folder)
    _step("Start the daemon: python -m asyncnet serve")
    daemon = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "asyncnet", "serve", "--config", str(config)),
        stderr=asyncio.subprocess.PIPE,
        env={key: value for key, value in os.environ.items() if not key.startswith("ASYNCNET_")},
    )
    assert daemon.stderr is not None
    try:
        ready = await _ready(daemon.stderr)
        draining = asyncio.create_task(_drain(daemon.stderr))
        spool = folder / "spool"
        console.print(f"  pages at {ready['pages'][0]}, jobs go into spool/pickup/")
        _step("Drop every example of config/jobs/ into spool/pickup/")
        await _show_examples(spool, examples)
        _step("What lies in the test sink's Maildir")
        await _show_maildir(folder)
        _step("Drop a job with mistakes")
        await _show_wrong_job(spool)
        _step("Ask for pages, as a browser does (200 and 400 are counted, 404 is not)")
        await _show_pages(ready["pages"][0])
        _step("Watch one mail on the wire: asyncnet send --trace")
        await _show_dialogue(config, port)
        _step("Stop it: SIGTERM")
        daemon.send_signal(signal.SIGTERM)
        async with asyncio.timeout(STEP_S):
            code = await daemon.wait()
            await draining
        console.print(f"  ended with exit code {code}")
    finally:
        if daemon.returncode is None:
            daemon.kill()
            await daemon.wait()


def main() -> int:
    """Run the tour; 0 when every step did what it should."""
    if not EXAMPLES.is_dir():
        console.print("run this from the repository's top folder: config/jobs/ is needed")
        return 1
    folder = Path(tempfile.mkdtemp(prefix="asyncnet-demo-"))
    try:
        asyncio.run(_tour(folder, sorted(EXAMPLES.glob("*.yaml"))))
    except (DemoFailed, TimeoutError) as error:
        console.print(f"[red]the demo failed: {escape(str(error) or 'a step took too long')}[/]")
        return 1
    finally:
        shutil.rmtree(folder)
    console.print("\n[bold green]That was the whole way.[/] Now: make serve")
    return 0


if __name__ == "__main__":
    sys.exit(main())
