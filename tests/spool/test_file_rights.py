"""Who may attach what: the owner of the job his own files, everybody those that everybody reads."""

import os
from pathlib import Path

import pytest

from asyncnet.mail.letter import ContentError
from asyncnet.spool.errors import FileRefused
from asyncnet.spool.files import AllowedFolders
from tests.support.scarcity import no_more_descriptors

ME, OTHER = os.getuid(), os.getuid() + 1


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "report.pdf"
    path.write_bytes(b"12345678")
    return path


@pytest.mark.parametrize(
    ("mode", "owner", "allowed"),
    [
        (0o600, ME, True),
        (0o400, ME, True),
        (0o644, ME, True),
        (0o600, OTHER, False),
        (0o640, OTHER, False),
        (0o660, OTHER, False),
        (0o622, OTHER, False),
        (0o611, OTHER, False),
        (0o644, OTHER, True),
        (0o604, OTHER, True),
    ],
)
def test_a_file_goes_along_if_its_owner_or_everybody_may_read_it(
    file: Path, mode: int, owner: int, allowed: bool
) -> None:
    file.chmod(mode)
    folders = AllowedFolders((file.parent,), 100)
    if allowed:
        assert b"".join(folders.open(file.name, owner).blocks()) == b"12345678"
        return
    with pytest.raises(FileRefused) as caught:
        folders.open(file.name, owner)
    assert caught.value.problem == (
        "the file belongs to another user than the job, who keeps it private"
    )


def test_the_limit_itself_is_allowed(file: Path) -> None:
    assert AllowedFolders((file.parent,), 8).open(file.name, ME).octets == 8
    with pytest.raises(FileRefused, match="allowed are 7"):
        AllowedFolders((file.parent,), 7).open(file.name, ME)


def test_a_lack_of_descriptors_is_no_fault_of_the_file(file: Path) -> None:
    folders = AllowedFolders((file.parent,), 100)
    with no_more_descriptors(), pytest.raises(OSError, match="Too many open files"):
        folders.open(file.name, ME)
    content = folders.open(file.name, ME)
    with no_more_descriptors(), pytest.raises(OSError, match="Too many open files"):
        next(iter(content.blocks()))
    file.unlink()
    with pytest.raises(ContentError):
        next(iter(content.blocks()))
