"""Where the peers of the sending benchmark come from: installed beside the product, never in it.

aiosmtplib goes into build/bench-venv, nodemailer into build/bench-node, smtp-source is taken from
Debian's package postfix, unpacked into build/peers/postfix (its installation would want to be
this machine's mail server).  Versions are pinned; a peer that cannot be had is a Missing.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build"
AIOSMTPLIB = "aiosmtplib==5.1.3"
NODEMAILER = "nodemailer@10.6.0"
DEBIAN_NODE_MODULES = Path("/usr/share/nodejs")  # of the package node-nodemailer
INSTALL_S = 180.0


@dataclass(frozen=True)
class Program:
    """How a sender is started; its arguments follow."""

    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    version: str = ""


@dataclass(frozen=True)
class Missing:
    """A peer that cannot be had here."""

    why: str


def asyncnet() -> Program:
    return Program((sys.executable, "-m", "tests.bench.sender_asyncnet"))


def smtplib() -> Program:
    version = ".".join(map(str, sys.version_info[:3]))
    return Program((sys.executable, "-m", "tests.bench.sender_smtplib"), version=version)


def aiosmtplib() -> Program:
    """Raises CalledProcessError or OSError."""
    python = BUILD / "bench-venv" / "bin" / "python"
    if not python.exists():
        _run(sys.executable, "-m", "venv", str(python.parents[1]))
    if _fails(python, "-c", f"from importlib.metadata import version as v\n{_IS_PINNED}"):
        _run(python, "-m", "pip", "--quiet", "--disable-pip-version-check", "install", AIOSMTPLIB)
    return Program(
        (str(python), "-m", "tests.bench.sender_aiosmtplib"), version=AIOSMTPLIB.partition("==")[2]
    )


_NAME, _, _VERSION = AIOSMTPLIB.partition("==")
_IS_PINNED = f"assert v({_NAME!r}) == {_VERSION!r}"


def nodemailer() -> Program:
    """From npm, else from Debian's package.  Raises CalledProcessError or OSError."""
    node = shutil.which("node")
    if node is None:
        raise FileNotFoundError("node is not installed (Debian: nodejs, npm)")
    folder = BUILD / "bench-node"
    modules = folder / "node_modules"
    if not (modules / "nodemailer").is_dir():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            options = ("--silent", "--no-audit", "--no-fund", "--ignore-scripts")
            _run("npm", "install", *options, "--prefix", str(folder), NODEMAILER)
        except (subprocess.SubprocessError, OSError):
            if not (DEBIAN_NODE_MODULES / "nodemailer").is_dir():
                raise
            modules = DEBIAN_NODE_MODULES
    script = str(Path(__file__).with_name("sender_nodemailer.cjs"))
    asked = "console.log(require('nodemailer/package.json').version)"
    environment = {"NODE_PATH": str(modules)}
    return Program((node, script), environment, _said(environment, node, "-e", asked))


def smtp_source() -> Program:
    """On PATH, else unpacked from its package.  Raises CalledProcessError or OSError."""
    if found := shutil.which("smtp-source", path=f"{os.environ.get('PATH', '')}:/usr/sbin"):
        return Program((found,))
    peers = BUILD / "peers"
    unpacked = peers / "postfix"
    program = unpacked / "usr" / "sbin" / "smtp-source"
    if not program.exists():
        unpacked.mkdir(parents=True, exist_ok=True)
        _run("apt-get", "-qq", "download", "postfix", folder=peers)
        package = max(peers.glob("postfix_*.deb"), key=lambda file: file.stat().st_mtime)
        _run("dpkg", "-x", str(package), str(unpacked))
    environment = {"LD_LIBRARY_PATH": str(unpacked / "usr" / "lib" / "postfix")}
    linked = _said(environment, "ldd", str(program))
    lacking = [line.split()[0] for line in linked.splitlines() if "not found" in line]
    if lacking:
        raise FileNotFoundError(f"smtp-source needs {', '.join(lacking)} (apt-get install postfix)")
    version = next((it.name.split("_")[1] for it in peers.glob("postfix_*.deb")), "")
    return Program((str(program),), environment, f"Postfix {version}".rstrip())


def get(source: Callable[[], Program]) -> Program | Missing:
    """The peer, installed where it was not; Missing when that fails, for whatever reason."""
    try:
        return source()
    except subprocess.CalledProcessError as error:
        words = (error.stderr or error.stdout or "").strip().splitlines()
        return Missing(f"{error.cmd[0]} failed: {words[-1] if words else error.returncode}")
    except (subprocess.SubprocessError, OSError) as error:
        return Missing(str(error))


def _run(*command: str | Path, folder: Path | None = None) -> None:
    subprocess.run(
        list(map(str, command)),
        cwd=folder,
        check=True,
        timeout=INSTALL_S,
        capture_output=True,
        text=True,
    )


def _fails(*command: str | Path) -> bool:
    return subprocess.run(list(map(str, command)), capture_output=True, check=False).returncode != 0


def _said(environment: Mapping[str, str], *command: str) -> str:
    done = subprocess.run(
        command,
        env={**os.environ, **environment},
        check=True,
        timeout=INSTALL_S,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()
