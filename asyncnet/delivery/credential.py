"""Secrets, read from where the settings say they are: environment, file, program, systemd.

Read when they are needed and kept nowhere: a file or credential changed meanwhile counts the
next time.  An error names the place and never the content.
"""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

from asyncnet.config.sections import SecretSource

COMMAND_TIMEOUT_S = 30.0  # a password program may ask a vault; a person at a prompt it may not
MAX_SECRET_OCTETS = 64 * 1024  # more is a wrong file


class CredentialError(Exception):
    """A password or token cannot be had; str() says why and never holds a secret."""


async def read_secret(source: SecretSource, environment: Mapping[str, str] = os.environ) -> str:
    """The secret from where the settings say it is; one line end at its end is dropped.

    Raises CredentialError, which names the place and never the content.  Cancelling ends a
    command that still runs.
    """
    if source.value is not None:
        return _one_line(source.value.get_secret_value(), "secret value")
    if source.env is not None:
        if source.env not in environment:
            raise CredentialError(f"the environment variable {source.env} is not set")
        return _one_line(environment[source.env], f"the environment variable {source.env}")
    if source.command is not None:
        return await _from_command(source.command)
    path = source.file if source.file is not None else _credential(source, environment)
    text = await asyncio.to_thread(_from_file, path)
    return _one_line(text, f"the file {path}")


def _credential(source: SecretSource, environment: Mapping[str, str]) -> Path:
    """systemd's LoadCredential= puts files into a folder that only the service can read."""
    name = source.credential or ""
    folder = environment.get("CREDENTIALS_DIRECTORY")
    if not folder:
        raise CredentialError(
            f"the credential {name!r} is not there: systemd sets $CREDENTIALS_DIRECTORY only "
            "for a service with LoadCredential="
        )
    if Path(name).name != name:
        raise CredentialError(f"the credential {name!r} is no plain name")
    return Path(folder) / name


def _from_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            octets = file.read(MAX_SECRET_OCTETS + 1)
    except OSError as error:
        raise CredentialError(f"the file {path} cannot be read: {error.strerror}") from error
    return _decoded(octets, f"the file {path}")


async def _from_command(command: tuple[str, ...]) -> str:
    # Only the program is named in errors: its arguments, and what it prints, may be secrets.
    program = command[0] if command else ""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except (OSError, TypeError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "the command is empty or invalid"
        raise CredentialError(f"the command {program!r} cannot be started: {reason}") from None
    try:
        async with asyncio.timeout(COMMAND_TIMEOUT_S):
            octets, _ = await process.communicate()
    except TimeoutError:
        raise CredentialError(
            f"the command {program!r} gave no secret within {COMMAND_TIMEOUT_S:g} s"
        ) from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise CredentialError(f"the command {program!r} ended with exit code {process.returncode}")
    return _one_line(_decoded(octets, f"the command {program!r}"), f"the command {program!r}")


def _decoded(octets: bytes, where: str) -> str:
    if len(octets) > MAX_SECRET_OCTETS:
        raise CredentialError(f"{where} is too long for a secret")
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        # Without the cause: its text shows octets of the secret.
        raise CredentialError(f"{where} is no UTF-8 text") from None


def _one_line(text: str, where: str) -> str:
    secret = text.removesuffix("\n").removesuffix("\r")
    if not secret:
        raise CredentialError(f"{where} is empty")
    if any(character in secret for character in "\r\n\0"):
        raise CredentialError(f"{where} holds more than one line; a secret is one")
    # Octets of the environment that are no UTF-8 are lone surrogates here.
    if any("\ud800" <= character <= "\udfff" for character in secret):
        raise CredentialError(f"{where} is no UTF-8 text")
    return secret
