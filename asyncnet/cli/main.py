"""The outermost frame: runs what the command line says, and ends the process with its exit code.

The parser of the command line, with its help, takes as long to import as a third of the daemon.
So what services and probes call has a short way, where it is spelled as nearly all do; for all
else, mistakes and questions included, there is the parser.
"""

import sys
from pathlib import Path

from asyncnet.cli import exit_codes, lean
from asyncnet.cli.version import print_version

PARTS = ("web", "intake", "delivery")  # supervisor.Part's, which is too heavy to ask


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
        return lean.serve(*options)
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
