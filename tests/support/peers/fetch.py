"""Fetch Postfix, Exim and OpenSMTPD with `apt-get download` and unpack them into build/peers/.

Once: what is there stays.  Needs no root, but for `apt-get update` where the package lists are
missing.  Exits 1 with the reason where a package cannot be had.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.support.peers.packages import PACKAGES, PEERS_FOLDER, PROGRAMS, environment

# The program loader and the C library belong together: never bring another.
NEVER = ("libc6", "libc-bin")


class FetchFailed(Exception):
    """A package cannot be had here."""


def main() -> int:
    PEERS_FOLDER.mkdir(parents=True, exist_ok=True)
    wanted = [peer for peer in PACKAGES if not (PEERS_FOLDER / peer).is_dir()]
    try:
        if wanted and shutil.which("apt-get") is None:
            raise FetchFailed("there is no apt-get here")
        for peer in wanted:
            _fetch(peer)
    except FetchFailed as error:
        print(f"*** {', '.join(wanted)}: {error}", file=sys.stderr)
        return 1
    return 0


def _fetch(peer: str) -> None:
    """Unpack a peer aside and rename it into its place, whole or not at all."""
    with tempfile.TemporaryDirectory(dir=PEERS_FOLDER) as aside:
        archives, unpacked = Path(aside, "archives"), Path(aside, "tree")
        archives.mkdir()
        unpacked.mkdir()
        _download(PACKAGES[peer], archives)
        for archive in sorted(archives.glob("*.deb")):
            _run(("dpkg", "-x", str(archive), str(unpacked)))
        for spare in ("usr/share", "lib/systemd", "etc/init.d"):  # each test copies all the rest
            shutil.rmtree(unpacked / spare, ignore_errors=True)
        for path in unpacked.rglob("*"):
            if path.is_file() and not path.is_symlink():
                path.chmod(path.stat().st_mode & 0o755)  # nothing runs as somebody else
        _check(peer, unpacked)
        unpacked.chmod(0o755)
        unpacked.rename(PEERS_FOLDER / peer)
    print(f"{peer} is in {PEERS_FOLDER / peer}")


def _download(packages: Sequence[str], archives: Path) -> None:
    try:
        names = _with_libraries(packages)
        _apt_get("download", *names, folder=archives)
    except FetchFailed:
        # Lists that are missing or older than what the mirror still has.
        _run((*_as_root(), "apt-get", "-qq", "update"))
        _apt_get("download", *_with_libraries(packages), folder=archives)


def _with_libraries(packages: Sequence[str]) -> list[str]:
    """The packages, and the libraries that apt would install with them here."""
    said = _apt_get("install", "--simulate", "--no-install-recommends", *packages)
    # "Inst NAME (VERSION …)" for each package that is not installed yet.
    needed = {line.split()[1] for line in said.splitlines() if line.startswith("Inst ")}
    libraries = {name for name in needed if name.startswith("lib")} - {*packages, *NEVER}
    return [*packages, *sorted(libraries)]


def _check(peer: str, unpacked: Path) -> None:
    for program in PROGRAMS[peer]:
        said = _run(("ldd", str(unpacked / program)), environment(unpacked))
        lost = [line.split()[0] for line in said.splitlines() if "not found" in line]
        if lost:
            raise FetchFailed(f"{program} lacks {', '.join(lost)}")


def _apt_get(verb: str, *arguments: str, folder: Path | None = None) -> str:
    # apt's own user need not be able to write into our folder.
    mine = ("-o", "APT::Sandbox::User=root") if os.geteuid() == 0 else ()
    return _run(("apt-get", "-qq", *mine, verb, *arguments), folder=folder)


def _as_root() -> tuple[str, ...]:
    if os.geteuid() == 0:
        return ()
    if shutil.which("sudo") is None:
        raise FetchFailed("apt's package lists are out of date, and only root can renew them")
    return ("sudo", "-n")


def _run(
    command: Sequence[str], variables: dict[str, str] | None = None, folder: Path | None = None
) -> str:
    done = subprocess.run(
        command, env=variables, cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise FetchFailed(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
