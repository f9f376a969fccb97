"""The four folders: which names are jobs, claims, the lock."""

import errno
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnet.spool.errors import SpoolBroken, SpoolError
from asyncnet.spool.folder import (
    MAX_STEM_OCTETS,
    PROBE,
    SpoolFolder,
    claim_of,
    is_job_name,
    read_job_file,
    split_name,
)
from asyncnet.spool.queue_id import claimed_at
from tests.support.scarcity import no_more_descriptors

ID = "01KE7Y0000ABCDEF"


@pytest.mark.parametrize(
    "name",
    ["a.yaml", "a.yml", "a.json", "a.eml", "A.YAML", "a b.yaml", "你好.yaml", "a.b.yaml", "~a.yml"],
)
def test_these_names_are_jobs(name: str) -> None:
    assert is_job_name(name)


@pytest.mark.parametrize(
    "name",
    [
        *(".a.yaml", "_a.yaml", ".yaml", "a.yaml~", "a.yaml.tmp", "a.yaml.part", ".a.yaml.swp"),
        *("a.swp", "logo.png", "a", "yaml", "a.result.json", "A.RESULT.JSON", "a.envelope.yaml"),
        *("", "a.yaml "),
    ],
)
def test_these_names_are_not(name: str) -> None:
    assert not is_job_name(name)


@pytest.mark.parametrize(
    ("name", "stem", "ending"),
    [
        ("hello.yaml", "hello", ".yaml"),
        ("a.b c.JSON", "a.b c", ".JSON"),
        ("a\nb\x1b.yml", "a_b_", ".yml"),
        (os.fsdecode(b"caf\xe9.yaml"), "caf\ufffd", ".yaml"),
        ("x" * 250 + ".yml", "x" * 200, ".yml"),
        ("语" * 80 + ".yaml", "语" * 66, ".yaml"),
    ],
)
def test_the_stem_is_kept_as_far_as_it_can_be(name: str, stem: str, ending: str) -> None:
    assert split_name(name) == (stem, ending)


@given(st.binary(min_size=1, max_size=250).map(lambda stem: os.fsdecode(stem) + ".yaml"))
def test_every_name_can_be_stored_and_found_again(name: str) -> None:
    stem, ending = split_name(name)
    assert 0 < len(stem.encode()) <= MAX_STEM_OCTETS
    claim = claim_of(f"{ID}.{stem}{ending}")
    assert claim is not None
    assert (claim.queue_id, claim.name) == (ID, stem)


@pytest.mark.parametrize(
    "name",
    [f"{ID}.msg", f"{ID}.yaml", f"{ID.lower()}.a.yaml", "a.yaml", f"{ID}a.yaml", f"{ID}.a.txt"],
)
def test_other_files_in_the_queue_are_no_claims(name: str) -> None:
    assert claim_of(name) is None


def test_a_claim_is_one_rename_under_the_id(folder: SpoolFolder) -> None:
    (folder.pickup / "hello.yaml").write_text("x")
    claim = folder.claim("hello.yaml", ID)
    assert (claim.queue_id, claim.name, claim.job_file) == (ID, "hello", f"{ID}.hello.yaml")
    assert claim.claimed_at == claimed_at(ID)
    assert os.listdir(folder.pickup) == []
    (folder.queue / f"{ID}.msg").write_text("content of a message")
    assert folder.claimed() == [claim]


def test_the_longest_names_fit_with_all_that_is_put_to_them(folder: SpoolFolder) -> None:
    for name in ("x" * 250 + ".yaml", "语" * 83 + ".yaml"):
        (folder.pickup / name).write_text("x")
        claim = folder.claim(name, ID)
        (folder.failed / f"{claim.name}~{ID}.result.json").write_text("fits")
        assert (folder.queue / claim.job_file).exists()


def test_folders_are_made_for_their_owner_alone(folder: SpoolFolder) -> None:
    folder.prepare()  # again does no harm
    folder.try_moves()
    for path in (folder.root, folder.pickup, folder.queue, folder.sent, folder.failed):
        assert path.stat().st_mode & 0o777 == 0o700
        assert [name for name in os.listdir(path) if name.startswith(".")] == []


def test_a_place_that_cannot_be_a_spool_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(SpoolError, match=r"file: cannot be made: ") as caught:
        SpoolFolder(tmp_path / "file").prepare()
    assert "\n" not in str(caught.value)


def test_folders_on_different_file_systems_are_told(tmp_path: Path, elsewhere: Path) -> None:
    folder = SpoolFolder(tmp_path / "spool")
    folder.root.mkdir()
    folder.queue.symlink_to(elsewhere)
    folder.prepare()
    with pytest.raises(SpoolError, match="lie on different file systems"):
        folder.try_moves()
    assert os.listdir(folder.pickup) == []


def test_what_a_killed_start_left_behind_is_put_away(folder: SpoolFolder) -> None:
    folders = (folder.pickup, folder.queue, folder.sent, folder.failed)
    for path in folders:
        (path / PROBE).touch()
    folder.try_moves()
    assert [os.listdir(path) for path in folders] == [[]] * 4


def test_a_link_in_the_probes_place_is_put_away_and_not_followed(
    folder: SpoolFolder, tmp_path: Path
) -> None:
    """Others may drop files into pickup/."""
    (folder.pickup / PROBE).symlink_to(tmp_path / "elsewhere")
    folder.try_moves()
    assert not (tmp_path / "elsewhere").exists()
    assert os.listdir(folder.pickup) == os.listdir(folder.failed) == []


def test_a_second_daemon_is_told_who_holds_the_spool(folder: SpoolFolder) -> None:
    folder.lock()
    code = (
        "import sys; from pathlib import Path; from asyncnet.spool.folder import SpoolFolder\n"
        "SpoolFolder(Path(sys.argv[1])).lock()"
    )
    command = [sys.executable, "-c", code, str(folder.root)]
    second = subprocess.run(command, capture_output=True, text=True, check=False)
    assert second.returncode == 1
    holder = f"SpoolError: {folder.root}: the spool is held by process {os.getpid()} on "
    assert holder in second.stderr
    folder.unlock()
    folder.unlock()
    assert subprocess.run(command, check=False).returncode == 0


def test_a_lock_left_behind_by_a_dead_process_holds_nobody(folder: SpoolFolder) -> None:
    (folder.root / "lock").write_text("process 1 on a host with a " + "long " * 50 + "name\n")
    folder.lock()
    told = f"process {os.getpid()} on {socket.gethostname()}\n"
    assert (folder.root / "lock").read_text() == told
    folder.unlock()


def test_nobody_else_can_take_the_lock(folder: SpoolFolder) -> None:
    mask = os.umask(0)
    try:
        folder.lock()
    finally:
        os.umask(mask)
    assert (folder.root / "lock").stat().st_mode & 0o777 == 0o600
    folder.unlock()


def test_claimed_jobs_come_in_the_order_of_their_claims(folder: SpoolFolder) -> None:
    for name, queue_id in (("b", ID), ("a", ID[:-1] + "Z")):
        (folder.pickup / f"{name}.yaml").write_text("x")
        folder.claim(f"{name}.yaml", queue_id)
    assert [claim.name for claim in folder.claimed()] == ["b", "a"]


def test_a_full_disk_does_not_keep_the_daemon_from_its_start(
    folder: SpoolFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (errno.ENOSPC, errno.EDQUOT):
        monkeypatch.setattr(os, "rename", failing(number))
        folder.try_moves()
    monkeypatch.setattr(os, "rename", failing(errno.EACCES))
    with pytest.raises(SpoolError, match="cannot be written"):
        folder.try_moves()


def failing(number: int) -> Callable[..., None]:
    def fail(*given: object, **named: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


# Flushing.


def test_a_flush_puts_each_folder_on_the_disk(
    folder: SpoolFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []
    real = os.fsync

    def watched(descriptor: int) -> None:
        flushed.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    folder.flush((folder.queue, folder.pickup))
    assert flushed == [str(folder.queue), str(folder.pickup)]


def test_after_a_failed_flush_nobody_goes_on(
    folder: SpoolFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", failing(errno.EINVAL))  # "folders cannot be flushed here"
    folder.flush((folder.queue,))
    monkeypatch.setattr(os, "fsync", failing(errno.EIO))
    with pytest.raises(SpoolBroken, match="queue: flush failed: Input/output error"):
        folder.flush((folder.queue,))
    monkeypatch.setattr(os, "open", failing(errno.EIO))
    with pytest.raises(SpoolBroken, match="queue: cannot be opened: Input/output error"):
        folder.flush((folder.queue,))


def test_a_flush_of_a_folder_that_is_gone_is_waited_for(folder: SpoolFolder) -> None:
    folder.queue.rmdir()
    with pytest.raises(OSError, match="queue is gone") as caught:
        folder.flush((folder.queue,))
    assert not isinstance(caught.value, FileNotFoundError), "that tells of a job's file"


def test_a_flush_without_descriptors_is_waited_for(folder: SpoolFolder) -> None:
    with no_more_descriptors(), pytest.raises(OSError, match="Too many open files"):
        folder.flush((folder.queue,))


def test_a_job_file_is_read_only_so_far(folder: SpoolFolder) -> None:
    (folder.pickup / "a.yaml").write_text("12345678")
    assert read_job_file(folder.pickup / "a.yaml", 8).octets == b"12345678"
    assert read_job_file(folder.pickup / "a.yaml", 4).octets == b"12345"


@pytest.mark.timeout(10)
def test_what_is_no_plain_file_is_not_read(folder: SpoolFolder) -> None:
    (folder.pickup / "link.yaml").symlink_to("/etc/passwd")
    os.mkfifo(folder.pickup / "fifo.yaml")
    (folder.pickup / "dir.yaml").mkdir()
    for name, number in (("link", errno.ELOOP), ("fifo", errno.EINVAL), ("dir", errno.EINVAL)):
        with pytest.raises(OSError, match=r".") as caught:
            read_job_file(folder.pickup / f"{name}.yaml", 10)
        assert caught.value.errno == number
