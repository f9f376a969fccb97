"""The daemon's modules, imported without what libraries take along for others.

structlog looks for rich, for tracebacks that we do not print; pydantic looks through all installed
packages for plugins of its own; and each collection of garbage goes through all that was imported
before.  Together that is a third of what the imports take.
"""

import gc
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_NO_PLUGINS = "PYDANTIC_DISABLE_PLUGINS"


def serve(config: Path | None, only: Sequence[str] | None) -> int:
    """As cli.serve.run(), which is imported here."""
    with _lean_imports():
        from asyncnet.cli import serve as command
    return command.run(config, only)


@contextmanager
def _lean_imports() -> Iterator[None]:
    """What is imported later, and what is started, finds all as it was.

    What is imported meanwhile stays for good: no collection need ever look at it.
    """
    without_rich = "rich" not in sys.modules
    without_plugins = _NO_PLUGINS not in os.environ
    if without_rich:
        sys.modules["rich"] = None  # type: ignore[assignment]  # "there is none"
    if without_plugins:
        os.environ[_NO_PLUGINS] = "__all__"
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
        if without_rich:
            del sys.modules["rich"]
        if without_plugins:
            del os.environ[_NO_PLUGINS]
