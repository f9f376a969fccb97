"""Who may import whom, read from the code: the two tables of the house."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "asyncnet"

# A room, and the rooms (or modules of them) that it may import besides itself.
MAY_IMPORT: dict[str, set[str]] = {
    "mail": set(),
    "config": set(),
    "threads": set(),
    "http1": set(),
    "mime": {"mail"},
    "smtp": {"mail"},
    "providers": {"mail", "smtp.reply"},
    "mailqueue": {"mail", "config", "threads"},
    "web": {"http1", "config", "mailqueue.store"},
    "spool": {"mail", "mime", "mailqueue.store", "config", "threads"},
    "delivery": {"mail", "smtp", "providers", "mailqueue.store", "config"},
    "control": {"mail", "mailqueue.store", "delivery"},
    "lab": {"mail", "spool.job", "config"},
}
ABOVE = {"supervisor", "cli", "__main__"}  # may import anything; nothing imports them

PURE = [
    "mail",
    "mime",
    "smtp",
    "http1",
    "providers",
    "spool/job.py",
    "delivery/judgement.py",
    "delivery/schedule.py",
    "delivery/standing.py",
    "delivery/window.py",
    "delivery/checkup/refusals.py",
    "control/protocol.py",
]
IMPURE_MODULES = {"asyncio", "socket", "ssl", "time", "random", "logging", "structlog", "uvloop"}

# Who touches the network on the mail's way out; errors.py names their exceptions.
DELIVERY_BORDER = {"wire.py", "handshake.py", "tls.py", "errors.py"}

YARDSTICKS = {"smtplib", "email", "aiosmtpd", "mailbox", "smtpd"}  # for the lab alone
STANDARD_CLIENTS = {"http.client", "http.server", "urllib.request"}  # ours are written by hand


def modules() -> list[tuple[str, Path]]:
    return [(path.relative_to(PACKAGE).as_posix(), path) for path in sorted(PACKAGE.rglob("*.py"))]


def imported(path: Path) -> Iterator[str]:
    """The full names of all that a module imports, at any depth of the code."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are written in full"
            assert node.module is not None
            yield from (f"{node.module}.{name.name}" for name in node.names)


def room_of(relative: str) -> str:
    return relative.split("/")[0].removesuffix(".py")


@pytest.mark.parametrize(("relative", "path"), modules())
def test_a_room_imports_only_the_rooms_it_may(relative: str, path: Path) -> None:
    room = room_of(relative)
    if room in ABOVE or room == "__init__":
        return
    for name in imported(path):
        if not name.startswith("asyncnet."):
            continue
        inner = name.removeprefix("asyncnet.")
        allowed = {room} | MAY_IMPORT[room]
        assert any(inner == it or inner.startswith(f"{it}.") for it in allowed), (
            f"{relative} imports {name}, but {room} may import only {sorted(allowed)}"
        )


@pytest.mark.parametrize(("relative", "path"), modules())
def test_a_pure_room_imports_nothing_that_does_io(relative: str, path: Path) -> None:
    if not any(relative == pure or relative.startswith(f"{pure}/") for pure in PURE):
        return
    impure = {name for name in imported(path) if name.split(".")[0] in IMPURE_MODULES}
    assert not impure, f"{relative} is pure, but imports {sorted(impure)}"


def test_delivery_knows_sockets_at_its_border_only() -> None:
    users = {
        path.name
        for _, path in modules()
        if path.parent.name == "delivery"
        and {name.split(".")[0] for name in imported(path)} & {"socket", "ssl"}
    }
    assert users == DELIVERY_BORDER


@pytest.mark.parametrize(("relative", "path"), modules())
def test_the_yardsticks_stay_in_the_lab(relative: str, path: Path) -> None:
    banned = STANDARD_CLIENTS if room_of(relative) == "lab" else YARDSTICKS | STANDARD_CLIENTS
    found = {
        name
        for name in imported(path)
        if any(name == one or name.startswith(f"{one}.") for one in banned)
    }
    assert not found, f"{relative} imports {sorted(found)}"


def test_every_room_stands_in_the_table() -> None:
    rooms = {room_of(relative) for relative, _ in modules()} - {"__init__"}
    assert rooms - ABOVE == set(MAY_IMPORT)


def test_there_is_no_circle_among_the_modules() -> None:
    names = {
        "asyncnet." + relative.removesuffix(".py").replace("/", "."): path
        for relative, path in modules()
    }
    uses = {
        module: {
            candidate
            for name in imported(path)
            for candidate in (name, name.rpartition(".")[0])
            if candidate in names and candidate != module
        }
        for module, path in names.items()
    }
    while uses:
        free = {module for module, used in uses.items() if not used & uses.keys()}
        assert free, f"these import one another in a circle: {sorted(uses)}"
        for module in free:
            del uses[module]


def test_no_module_hides_one_of_the_standard_library() -> None:
    """A003/A005 for folders too: `asyncnet/queue` would puzzle every reader of a traceback."""
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir()}
    assert not folders & set(sys.stdlib_module_names)


def test_init_modules_are_empty() -> None:
    assert [
        name for name, path in modules() if name.endswith("__init__.py") and path.stat().st_size
    ] == []
