"""What a newcomer meets first: the settings, the example jobs and their files."""

import csv
import json
import os
import re
import struct
import zipfile
import zlib
from pathlib import Path

import pytest

from asyncnet.config.file import load
from asyncnet.config.sections import Settings
from asyncnet.spool.assemble import Assembled, Rules, assemble
from asyncnet.spool.files import AllowedFolders
from asyncnet.spool.job import job_kind, read_job

ROOT = Path(__file__).parent.parent.parent
CONFIG = ROOT / "config/asyncnet.toml"
JOBS = ROOT / "config/jobs"
FILES = sorted((JOBS / "files").iterdir())
EXAMPLES = sorted(JOBS.glob("*.yaml"))


def settings(text: str, folder: Path) -> Settings:
    path = folder / "asyncnet.toml"
    path.write_text(text, encoding="utf-8")
    return load(path, environment={})


def assembled(job: Path, rules_of: Settings) -> Assembled:
    folders = AllowedFolders((JOBS,), rules_of.spool.max_message)
    rules = Rules(folders, rules_of.account, rules_of.spool.allow_server, rules_of.queue)
    read = read_job(job.read_bytes(), job_kind(job.name))
    return assemble(read, rules, owner=os.getuid(), now=0.0, seed="0")


# Settings


def test_the_settings_are_a_newcomers() -> None:
    given = load(CONFIG, environment={})
    assert [str(endpoint) for endpoint in given.http.listen] == ["127.0.0.1:8080", "[::1]:8080"]
    (sink,) = given.sink.listen
    account = given.account["local"]
    assert (account.host, account.port, account.tls) == (sink.host, sink.port, "none")
    assert account.default
    assert given.spool.allow_server
    assert given.spool.attachment_roots == (Path("config/jobs"),)


def uncommented(text: str) -> str:
    """Every example line of settings as a setting; prose stays a comment."""
    setting = re.compile(r"# (\[account\.[\w-]+\]|[a-z_]+ = .*)")
    return "\n".join(
        match[1] if (match := setting.fullmatch(line)) else line for line in text.split("\n")
    )


def test_every_line_that_is_commented_out_is_right(tmp_path: Path) -> None:
    text = uncommented(CONFIG.read_text(encoding="utf-8"))
    # A secret comes from one place; the file names five.
    first = text.index("secret = ")
    before, after = text[:first], text[first:].split("\n", 5)
    given = settings("\n".join([before + after[0], after[5]]), tmp_path)
    assert set(given.account) == {"local", "qq", "126", "126-plain", "gmail"}
    assert {given.account[name].preset for name in ("qq", "126", "gmail")} == {"qq", "126", "gmail"}


def test_the_defaults_that_are_told_are_the_defaults(tmp_path: Path) -> None:
    """Outside of the accounts, a key that is commented out shows its default."""
    text = uncommented(CONFIG.read_text(encoding="utf-8"))
    kept = [
        part
        for part in re.split(r"(?m)^(?=\[)", text)
        if part.startswith(("[http]", "[queue]", "[log]"))
    ]
    given = settings("".join(kept), tmp_path)
    assert given.http == Settings().http
    assert given.log == Settings().log
    assert given.queue.model_copy(update={"url": None}) == Settings().queue
    assert given.queue.url == f"sqlite:{Settings().database}"


@pytest.mark.parametrize("section", ["http", "ops", "spool", "queue", "sink", "log"])
def test_every_key_is_told(section: str) -> None:
    part = CONFIG.read_text(encoding="utf-8").split(f"\n[{section}]")[1].split("\n[")[0]
    told = set(re.findall(r"(?m)^#? ?([a-z_]+) = ", part))
    assert told == set(type(getattr(Settings(), section)).model_fields)


# Jobs


@pytest.mark.parametrize("job", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_becomes_a_letter_without_warnings(job: Path) -> None:
    result = assembled(job, load(CONFIG, environment={}))
    assert result.warnings == ()
    assert result.route.account == "local"


def test_the_newsletter_takes_all_its_pictures_along() -> None:
    letter = assembled(JOBS / "newsletter.yaml", load(CONFIG, environment={})).letter
    assert letter.text is not None
    assert isinstance(letter.html, str)
    assert [part.name for part in letter.inline] == ["banner.png", "week-10.png", "logo.png"]
    referred = re.findall(r'src="([^"]+)"', letter.html)
    assert referred == [f"cid:{part.cid}" for part in letter.inline]


def test_the_job_for_qq_goes_to_the_account_of_the_settings(tmp_path: Path) -> None:
    given = settings(
        '[account.qq]\npreset = "qq"\nuser = "10001@qq.com"\nsecret = {env = "QQ_CODE"}\n', tmp_path
    )
    result = assembled(JOBS / "qq/qq.yaml", given)
    assert result.route.account == "qq"
    assert result.letter.from_.addr_spec == given.account["qq"].user


def test_every_file_is_used() -> None:
    text = "".join(job.read_text(encoding="utf-8") for job in EXAMPLES)
    assert [path.name for path in FILES if f"files/{path.name}" not in text] == []


# Files


@pytest.mark.parametrize("path", [path for path in FILES if path.suffix == ".pdf"], ids=str)
def test_a_pdf_has_one_page_and_right_offsets(path: Path) -> None:
    octets = path.read_bytes()
    assert octets.startswith(b"%PDF-1.")
    assert octets.endswith(b"%%EOF\n")
    assert octets.count(b"/Type /Page ") == 1
    table = int(octets.rpartition(b"startxref\n")[2].split()[0])
    assert octets[table:].startswith(b"xref\n")
    offsets = [int(line[:10]) for line in re.findall(rb"\d{10} 00000 n ", octets[table:])]
    for number, offset in enumerate(offsets, 1):
        assert octets[offset:].startswith(b"%d 0 obj\n" % number)
    stream = octets.partition(b"stream\n")[2].partition(b"\nendstream")[0]
    assert b" Tj ET" in zlib.decompress(stream)


@pytest.mark.parametrize("path", [path for path in FILES if path.suffix == ".png"], ids=str)
def test_a_png_is_whole(path: Path) -> None:
    octets = path.read_bytes()
    assert octets.startswith(b"\x89PNG\r\n\x1a\n")
    kinds, pixels, position = [], b"", 8
    while position < len(octets):
        (length,) = struct.unpack_from(">I", octets, position)
        chunk = octets[position + 4 : position + 8 + length]
        assert zlib.crc32(chunk) == struct.unpack_from(">I", octets, position + 8 + length)[0]
        kinds.append(chunk[:4])
        pixels += chunk[4:] if chunk[:4] == b"IDAT" else b""
        position += length + 12
    assert (kinds[0], kinds[-1]) == (b"IHDR", b"IEND")
    width, height, depth, colour = struct.unpack_from(">IIBB", octets, 16)
    channels = {2: 3, 6: 4}[colour]
    assert len(zlib.decompress(pixels)) == height * (1 + width * channels * depth // 8)


def test_the_zip_holds_what_the_csv_says() -> None:
    figures = (JOBS / "files/temperatures.csv").read_bytes()
    with zipfile.ZipFile(JOBS / "files/readings.zip") as archive:
        assert archive.testzip() is None
        assert archive.read("temperatures.csv") == figures
    rows = list(csv.DictReader(figures.decode("ascii").splitlines()))
    assert len(rows) == 7
    assert all(float(row["low_celsius"]) < float(row["high_celsius"]) for row in rows)


def test_the_forecast_written_in_the_job_is_json() -> None:
    letter = assembled(JOBS / "attachments.yaml", load(CONFIG, environment={})).letter
    (forecast,) = [part for part in letter.attachments if part.name == "forecast.json"]
    assert json.loads(b"".join(forecast.content.blocks()))["monday"] == "sunny"


def test_the_files_are_small() -> None:
    assert all(0 < path.stat().st_size < 40_000 for path in FILES)
