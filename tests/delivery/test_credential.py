"""Secrets, from where they lie; and what is told where they do not."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from asyncnet.config.sections import SecretSource
from asyncnet.delivery import credential
from asyncnet.delivery.credential import CredentialError, read_secret

SECRET = "hunter-zwei"


async def test_a_secret_is_read_from_the_environment() -> None:
    assert await read_secret(SecretSource(env="CODE"), {"CODE": SECRET}) == SECRET


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
async def test_a_secret_is_read_from_a_file(tmp_path: Path, end: str) -> None:
    path = tmp_path / "secret"
    path.write_bytes(f" {SECRET} {end}".encode())
    assert await read_secret(SecretSource(file=path), {}) == f" {SECRET} "


async def test_a_secret_is_read_from_a_credential(tmp_path: Path) -> None:
    (tmp_path / "mail").write_text(SECRET)
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert await read_secret(SecretSource(credential="mail"), environment) == SECRET


async def test_a_secret_is_read_from_a_command() -> None:
    command = (sys.executable, "-c", f"print({SECRET!r})")
    assert await read_secret(SecretSource(command=command), {}) == SECRET


def exits(code: int) -> tuple[str, ...]:
    return (sys.executable, "-c", f"import sys; print({SECRET!r}); sys.exit({code})")


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ({"env": "NOT_THERE"}, "the environment variable NOT_THERE is not set"),
        ({"env": "EMPTY"}, "the environment variable EMPTY is empty"),
        ({"env": "TWO"}, "the environment variable TWO holds more than one line"),
        ({"file": "/no/such/file"}, "the file /no/such/file cannot be read: No such file"),
        ({"credential": "x"}, "systemd sets .CREDENTIALS_DIRECTORY only"),
        ({"command": ["/no/such/program", SECRET]}, "'/no/such/program' cannot be started: No su"),
        ({"command": []}, "the command '' cannot be started"),
        ({"command": exits(3)}, "ended with exit code 3"),
        ({"command": [sys.executable, "-c", f"#{SECRET}"]}, "is empty"),
    ],
)
async def test_a_missing_secret_is_told_without_telling_it(
    source: dict[str, object], told: str
) -> None:
    environment = {"EMPTY": "", "TWO": f"{SECRET}\n{SECRET}\n"}
    with pytest.raises(CredentialError, match=told) as caught:
        await read_secret(SecretSource.model_validate(source), environment)
    assert SECRET not in str(caught.value)


async def test_a_credential_stays_in_its_folder(tmp_path: Path) -> None:
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    with pytest.raises(CredentialError, match="no plain name"):
        await read_secret(SecretSource(credential="../passwd"), environment)


async def test_octets_that_are_no_text_are_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(SECRET.encode() + b"\xff")
    with pytest.raises(CredentialError, match="no UTF-8 text") as caught:
        await read_secret(SecretSource(file=path), {})
    assert caught.value.__cause__ is None


async def test_octets_of_the_environment_that_are_no_text_are_not_shown() -> None:
    value = os.fsdecode(SECRET.encode() + b"\xff")
    with pytest.raises(CredentialError, match="CODE is no UTF-8 text") as caught:
        await read_secret(SecretSource(env="CODE"), {"CODE": value})
    assert SECRET not in str(caught.value)


async def test_a_huge_file_is_no_password(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"x" * 100_000)
    with pytest.raises(CredentialError, match="too long"):
        await read_secret(SecretSource(file=path), {})


async def test_a_command_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credential, "COMMAND_TIMEOUT_S", 0.05)
    command = (sys.executable, "-c", "import time; time.sleep(600)")
    with pytest.raises(CredentialError, match="gave no secret within"):
        await read_secret(SecretSource(command=command), {})


async def test_cancelling_ends_the_command(tmp_path: Path) -> None:
    pipe = tmp_path / "pid"
    os.mkfifo(pipe)
    script = f"import os, time; open({str(pipe)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    source = SecretSource(command=(sys.executable, "-c", script))
    task = asyncio.create_task(read_secret(source, {}))
    pid = int(await asyncio.to_thread(pipe.read_text))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
