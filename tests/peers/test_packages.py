"""The packages of the real peers: said loudly when they are missing, usable when they are not."""

import asyncio
import os
from pathlib import Path

import pytest

from tests.support.peers import packages
from tests.support.peers.packages import PACKAGES, smtp_source
from tests.support.peers.peer import DOMAIN, require
from tests.support.peers.postfix import postfix

MESSAGES = 20


@pytest.mark.parametrize("name", PACKAGES)
def test_a_missing_package_is_left_out_with_its_reason(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "PEERS_FOLDER", tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=rf"{name} were LEFT OUT: .*peers\.fetch"):
        require(name)


@pytest.mark.parametrize("name", PACKAGES)
def test_a_missing_package_fails_where_ci_promised_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "PEERS_FOLDER", tmp_path)
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="LEFT OUT"):
        require(name)


def test_without_root_it_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="only root"):
        require("postfix")


async def test_postfix_own_load_generator_runs_from_the_unpacked_package() -> None:
    async with postfix() as peer:
        program, variables = smtp_source()
        process = await asyncio.create_subprocess_exec(
            str(program),
            *("-m", str(MESSAGES), "-s", "2", "-f", f"a@{DOMAIN}", "-t", f"b@{DOMAIN}"),
            f"inet:{peer.host}:{peer.port}",
            env=variables,
        )
        assert await process.wait() == 0
        await peer.inbox.wait_for(MESSAGES)
        assert peer.inbox.deliveries == {(f"a@{DOMAIN}", f"b@{DOMAIN}"): MESSAGES}
