"""The short way of `serve` and `--version`: the same as the parser's, with less to import."""

import subprocess
import sys
from pathlib import Path

import pytest

from asyncnet.cli.commands import Only
from asyncnet.cli.main import PARTS, plain_serve
from asyncnet.supervisor import Part
from tests.cli.processes import run


@pytest.mark.parametrize(
    ("line", "config", "only"),
    [
        ("serve", None, []),
        ("serve --config a.toml", "a.toml", []),
        ("serve -c a.toml", "a.toml", []),
        ("serve --only web", None, ["web"]),
        ("serve --only intake -c a.toml --only delivery", "a.toml", ["intake", "delivery"]),
        ("serve -c a.toml --config b.toml", "b.toml", []),  # the last one, as with the parser
    ],
)
def test_what_services_call_is_understood(line: str, config: str | None, only: list[str]) -> None:
    assert plain_serve(line.split()) == (None if config is None else Path(config), only)


@pytest.mark.parametrize(
    "line",
    [
        *("", "--help", "send job.yaml", "queue list", "--version serve", "-c a.toml serve"),
        *("serve --help", "serve --only", "serve --only pages", "serve --config=a.toml"),
        *("serve -ca.toml", "serve a.toml", "serve --config --only", "serve --onl web"),
        *("serve -- --config", "serve --only web --help", "serve -c a.toml b.toml"),
    ],
)
def test_all_else_is_left_to_the_parser(line: str) -> None:
    assert plain_serve(line.split()) is None


def test_the_parts_are_the_same_in_all_places() -> None:
    assert PARTS == tuple(part.value for part in Part) == tuple(only.value for only in Only)


@pytest.mark.parametrize("config", [["--config", "none.toml"], ["--config=none.toml"]])
async def test_both_ways_end_alike(tmp_path: Path, config: list[str]) -> None:
    ended = await run(tmp_path, "serve", *config)
    assert ended.code == 78
    assert ended.err == "asyncnet: none.toml: cannot be read: No such file or directory\n"


def test_the_pages_wait_for_nothing_that_they_do_not_need() -> None:
    look = (
        "import sys\n"
        "from asyncnet.cli import lean\n"
        "with lean._lean_imports():\n"
        "    from asyncnet.cli import serve\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules}))\n"
        "print(*sorted(name for name in sys.modules if name.startswith('asyncnet.')))\n"
    )
    told = subprocess.run([sys.executable, "-c", look], check=True, capture_output=True, text=True)
    libraries, ours = (set(line.split()) for line in told.stdout.splitlines())
    assert libraries & {"typer", "rich", "yaml", "apsw", "asyncpg", "prometheus_client"} == set()
    assert ours & {"asyncnet.spool.intake", "asyncnet.delivery.exchange"} == set()
    assert "asyncnet.web.listener" in ours


def test_what_was_left_out_can_be_had_afterwards() -> None:
    look = (
        "import gc, os\n"
        "from asyncnet.cli import lean\n"
        "before = dict(os.environ)\n"
        "with lean._lean_imports():\n"
        "    import structlog\n"
        "import rich.console\n"
        "assert dict(os.environ) == before and gc.isenabled()\n"
    )
    assert subprocess.run([sys.executable, "-c", look], check=False).returncode == 0
