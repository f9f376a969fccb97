"""The outermost frame: runs what the command line says, and ends the process with its exit code.

The parser of the command line, with its help, takes as long to import as a third of the daemon.
So what services and probes call has a short way, where it is spelled as nearly all do; for all
else, mistakes and questions included, there is the parser.
"""

import gc
import os
import sys
from pathlib import Path
from types import ModuleType

from asyncnet.cli import exit_codes
from asyncnet.cli.version import print_version

PARTS = ("web", "intake", "delivery")  # supervisor.Part's, which is too heavy to ask

_NO_PLUGINS = "PYDANTIC_DISABLE_PLUGINS"


def main() -> None:
    """Run the command line and end the process with its exit code."""
    try:
        code = _run(sys.argv[1:])
    except exit_codes.CommandFailed as failed:
        for line in failed.lines:
            print(f"asyncnet: {line}", file=sys.stderr)
        code = failed.code
    except BrokenPipeError:  # `asyncnet queue list | head`
        sys.stderr.close()
        code = exit_codes.OK
    except KeyboardInterrupt:
        code = 130  # as shells report SIGINT
    except Exception:
        # Nothing is outside of here: whatever comes is a fault of ours, and says so by its code.
        import traceback  # heavy

        traceback.print_exc()
        code = exit_codes.SOFTWARE
    sys.exit(code)


def _run(words: list[str]) -> int:
    if words == ["--version"]:
        print_version()
        return exit_codes.OK
    if (options := plain_serve(words)) is not None:
        code: int = _lean_serve().run(*options)
        return code
    from asyncnet.cli import commands  # heavy

    return commands.run()


def plain_serve(words: list[str]) -> tuple[Path | None, list[str]] | None:
    """The options config and only of `serve`, each spelled as two words.

    None where they are anything else: the parser knows what that is.
    """
    if words[:1] != ["serve"] or len(words) % 2 == 0:
        return None
    config: Path | None = None
    only: list[str] = []
    for option, value in zip(words[1::2], words[2::2], strict=True):
        if option in ("--config", "-c") and not value.startswith("-"):
            config = Path(value)
        elif option == "--only" and value in PARTS:
            only.append(value)
        else:
            return None
    return config, only


def _lean_serve() -> ModuleType:
    """cli.serve, without what its libraries take along where they find it.

    structlog looks for rich, for tracebacks that we do not print; pydantic looks through all
    installed packages for plugins of its own.  Both stay as they were for what comes later.
    What is imported stays for good: no collection of garbage need look at it, now or ever.
    """
    gc.disable()
    without_rich = "rich" not in sys.modules
    without_plugins = _NO_PLUGINS not in os.environ
    if without_rich:
        sys.modules["rich"] = None  # type: ignore[assignment]  # "there is none"
    if without_plugins:
        os.environ[_NO_PLUGINS] = "__all__"
    try:
        from asyncnet.cli import serve
    finally:
        if without_rich:
            del sys.modules["rich"]
        if without_plugins:
            del os.environ[_NO_PLUGINS]
        gc.freeze()
        gc.enable()
    return serve
