"""Only files that a job may have are opened, and they are read as they were judged."""

import os
from pathlib import Path

import pytest

from asyncnet.mail.letter import BLOCK_OCTETS, ContentError
from asyncnet.spool.errors import FileRefused
from asyncnet.spool.files import AllowedFolders, FileContent
from asyncnet.spool.text_file import read_text

ME = os.getuid()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    inner = tmp_path / "pickup"
    (inner / "deep" / "er").mkdir(parents=True)
    (inner / "a.txt").write_text("hello")
    (inner / "deep" / "er" / "b.txt").write_text("deep")
    (tmp_path / "secret").write_text("secret")
    return inner


def allowed(*folders: Path, max_octets: int = 1_000_000) -> AllowedFolders:
    return AllowedFolders(folders, max_octets)


def read(content: FileContent) -> bytes:
    return b"".join(content.blocks())


def refusal(folders: AllowedFolders, path: str, owner: int = ME) -> FileRefused:
    with pytest.raises(FileRefused) as caught:
        folders.open(path, owner)
    return caught.value


@pytest.mark.parametrize(
    ("path", "octets"),
    [
        ("a.txt", b"hello"),
        ("./a.txt", b"hello"),
        ("deep/er/b.txt", b"deep"),
        ("deep//er/./b.txt", b"deep"),
    ],
)
def test_a_relative_path_is_read(folder: Path, path: str, octets: bytes) -> None:
    content = allowed(folder).open(path, ME)
    assert content.octets == len(octets)
    assert read(content) == octets
    assert read(content) == octets  # again and again


def test_the_folders_are_searched_in_their_order(folder: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "a.txt").write_text("other")
    (root / "c.txt").write_text("root")
    folders = allowed(folder, root)
    assert read(folders.open("a.txt", ME)) == b"hello"
    assert read(folders.open("c.txt", ME)) == b"root"
    assert read(folders.open(f"{root}/a.txt", ME)) == b"other"  # absolute, but inside


def test_a_root_may_itself_be_reached_by_a_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    assert read(allowed(tmp_path / "link").open("a.txt", ME)) == b"hello"


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("nothing.txt", "there is no such file"),
        ("a.txt/x", "there is no such file"),
        ("../secret", "a path must not hold .."),
        ("deep/../../secret", "a path must not hold .."),
        ("/etc/passwd", "the file lies outside the allowed folders"),
        ("deep", "this is no regular file"),
        ("deep/", "this is no file"),
        (".", "this is no file"),
        ("/", "this is no file"),
        ("x" * 300, "cannot be read: File name too long"),
    ],
)
def test_other_paths_are_refused(folder: Path, path: str, problem: str) -> None:
    assert refusal(allowed(folder), path).problem == problem


def test_only_a_file_that_is_not_there_is_missing(folder: Path) -> None:
    assert refusal(allowed(folder), "nothing.txt").missing
    assert not refusal(allowed(folder), "../secret").missing


def test_no_link_is_followed_wherever_it_stands(folder: Path, tmp_path: Path) -> None:
    (folder / "link.txt").symlink_to(tmp_path / "secret")
    (folder / "inside.txt").symlink_to(folder / "a.txt")
    (folder / "up").symlink_to(tmp_path)
    for path in ("link.txt", "inside.txt", "up/secret"):
        assert refusal(allowed(folder), path).problem == (
            "this is a symbolic link, and none is followed"
        )


def test_a_file_with_a_second_name_is_refused(folder: Path, tmp_path: Path) -> None:
    os.link(tmp_path / "secret", folder / "hard.txt")
    assert refusal(allowed(folder), "hard.txt").problem == (
        "the file has more than one name (hard links)"
    )


@pytest.mark.timeout(10)
def test_a_fifo_blocks_nobody(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    assert refusal(allowed(folder), "pipe").problem == "this is no regular file"


def test_a_device_is_no_file() -> None:
    assert refusal(allowed(Path("/dev")), "null").problem == "this is no regular file"


def test_a_private_file_of_another_owner_is_refused(folder: Path) -> None:
    (folder / "a.txt").chmod(0o640)
    assert "belongs to another user" in refusal(allowed(folder), "a.txt", ME + 1).problem
    (folder / "a.txt").chmod(0o644)
    assert read(allowed(folder).open("a.txt", ME + 1)) == b"hello"


def test_a_file_over_the_limit_is_refused_before_it_is_read(folder: Path) -> None:
    with open(folder / "big", "wb") as file:
        file.truncate(10**12)
    assert refusal(allowed(folder), "big").problem == (
        "the file has 1,000,000,000,000 octets; allowed are 1,000,000"
    )


@pytest.mark.parametrize("octets", [0, 1, BLOCK_OCTETS, BLOCK_OCTETS + 1, 3 * BLOCK_OCTETS])
def test_blocks_are_as_long_as_promised(folder: Path, octets: int) -> None:
    (folder / "big").write_bytes(os.urandom(octets))
    content = allowed(folder).open("big", ME)
    blocks = list(content.blocks())
    assert b"".join(blocks) == (folder / "big").read_bytes()
    assert all(len(block) == BLOCK_OCTETS for block in blocks[:-1])


def grow(path: Path) -> None:
    with open(path, "ab") as file:
        file.write(b"more")


def touch(path: Path) -> None:
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))


def replace(path: Path) -> None:
    os.rename(path, path.with_name("old"))
    path.write_bytes(path.with_name("old").read_bytes())
    os.utime(path, ns=(0, path.with_name("old").stat().st_mtime_ns))


def link(path: Path) -> None:
    os.rename(path, path.with_name("old"))
    path.symlink_to(path.with_name("old"))


@pytest.mark.parametrize(
    "change", [grow, touch, replace, link, os.unlink, lambda p: os.truncate(p, 9)]
)
def test_a_file_that_changed_before_it_is_read_is_no_content(folder: Path, change: object) -> None:
    assert callable(change)
    (folder / "big").write_bytes(b"x" * 100_000)
    content = allowed(folder).open("big", ME)
    change(folder / "big")
    with pytest.raises(ContentError, match="big"):
        read(content)


def test_not_one_octet_of_another_file_is_read(folder: Path) -> None:
    (folder / "big").write_bytes(b"x" * 100_000)
    content = allowed(folder).open("big", ME)
    replace(folder / "big")
    with pytest.raises(ContentError):
        next(content.blocks())


@pytest.mark.parametrize("change", [grow, touch, lambda path: os.truncate(path, 70_000)])
def test_a_file_that_changes_while_it_is_read_is_no_content(folder: Path, change: object) -> None:
    assert callable(change)
    (folder / "big").write_bytes(b"x" * 300_000)
    blocks = allowed(folder).open("big", ME).blocks()
    next(blocks)
    change(folder / "big")
    with pytest.raises(ContentError, match="big: the file changed while the job was taken in"):
        list(blocks)


def test_no_descriptor_stays_open(folder: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    contents = [allowed(folder).open("a.txt", ME) for _ in range(50)]
    half_read = allowed(folder).open("a.txt", ME).blocks()
    next(half_read)
    half_read.close()  # type: ignore[attr-defined]
    assert [read(content) for content in contents] == [b"hello"] * 50
    for path in ("nothing", "deep", "deep/nothing"):
        refusal(allowed(folder), path)
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    ("octets", "text"),
    [(b"gr\xc3\xbc\xc3\x9fe\r\n", "grüße\r\n"), (b"\xef\xbb\xbfx", "x"), (b"", "")],
)
def test_a_text_file_is_utf_8(folder: Path, octets: bytes, text: str) -> None:
    (folder / "t").write_bytes(octets)
    assert read_text(allowed(folder).open("t", ME)) == text


@pytest.mark.parametrize(
    ("octets", "problem"),
    [
        (b"a\nb\xe4c", "octet 0xE4 on line 2 of the file is not UTF-8"),
        (b"\xff\xfea\0", "the file is UTF-16"),
        (b"a\0b", "the file holds the character U+0000"),
    ],
)
def test_other_text_files_are_refused(folder: Path, octets: bytes, problem: str) -> None:
    (folder / "t").write_bytes(octets)
    with pytest.raises(FileRefused) as caught:
        read_text(allowed(folder).open("t", ME))
    assert caught.value.problem == problem
