"""`asyncnet explain`: replies as people paste them, and what they are told."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnet.cli import explain
from asyncnet.cli.exit_codes import CommandFailed
from asyncnet.providers.builtin import catalogue

DAILY = "550 5.4.5 Daily user sending limit exceeded"


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings of whoever runs the tests."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASYNCNET_CONFIG", str(tmp_path / "asyncnet.toml"))


@pytest.fixture
def explained(capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*words: str, preset: str | None = None, phase: str | None = None) -> dict[str, Any]:
        assert explain.run(words, None, preset, phase, as_json=True) == 0
        document: dict[str, Any] = json.loads(capsys.readouterr().out)
        return document

    return run


def shown(capsys: pytest.CaptureFixture[str], *words: str, preset: str | None = None) -> str:
    assert explain.run(words, None, preset, None, as_json=False) == 0
    return capsys.readouterr().out


def test_the_reply_of_the_handbook(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, DAILY, preset="gmail")
    assert text.splitlines()[0] == DAILY
    for words in (
        "quota",
        "no attempt is used up",
        "the account wait 60 min",
        "daily limit of this Gmail account",
        "2,000 within any 24 hours",
        "a rule for gmail",
        "assumed",
    ):
        assert words in text


def test_the_same_for_programs(explained: Any) -> None:
    document = explained(DAILY, preset="gmail")
    assert {key: document[key] for key in ("code", "enhanced", "text", "preset", "known")} == {
        "code": 550,
        "enhanced": "5.4.5",
        "text": "Daily user sending limit exceeded",
        "preset": "gmail",
        "known": True,
    }
    assert (document["class"], document["scope"], document["status"]) == (
        "quota",
        "account",
        "deferred",
    )
    assert (document["waits_s"], document["counts_as_attempt"]) == ([3600.0], False)


@pytest.mark.parametrize(
    "words",
    [
        ("550 5.4.5 Daily user sending limit exceeded",),
        ("550", "5.4.5", "Daily", "user", "sending", "limit", "exceeded"),
        ("550-5.4.5 Daily user sending", "550 5.4.5 limit exceeded"),
        ("550-5.4.5 Daily user sending\r\n550 5.4.5 limit exceeded\r\n",),
        ("550-5.4.5 Daily user\nsending limit exceeded",),
        ("(550, b'5.4.5 Daily user sending limit exceeded')",),
        ("(550, b'5.4.5 Daily user sending\\n5.4.5 limit exceeded')",),
        ("smtplib.SMTPDataError: (550, b'5.4.5 Daily user sending limit exceeded')",),
        ("host smtp.gmail.com said: 550 5.4.5 Daily user sending limit exceeded",),
        ("  550 5.4.5 Daily user sending limit exceeded  ",),
    ],
)
def test_however_it_is_pasted_it_is_the_same_reply(explained: Any, words: tuple[str, ...]) -> None:
    document = explained(*words, preset="gmail")
    assert (document["code"], document["enhanced"], document["class"]) == (550, "5.4.5", "quota")
    assert document["text"] == "Daily user sending limit exceeded"


@pytest.mark.parametrize(
    "octets", [b"550 Ip frequency limited", "550 发信频率受限".encode("gb18030")]
)
def test_it_is_read_from_standard_input(
    explained: Any, monkeypatch: pytest.MonkeyPatch, octets: bytes
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(octets + b"\n")))
    document = explained("-", preset="qq")
    assert document["class"] == "throttle"
    assert "\ufffd" not in document["text"]


@pytest.mark.parametrize(
    ("words", "preset", "code", "kind"),
    [
        ("you have exceeded your daily sending limit", "icloud", 550, "quota"),
        ("Ip frequency limited", "qq", 550, "throttle"),
        ("MI:SFQ 163 smtp12", "163", 451, "throttle"),
        ("5.1.1 user unknown", None, 550, "recipient"),
        ("4.2.2 over quota", None, 450, "recipient"),
        ("Greylisted, come back later", None, 450, "greylist"),
    ],
)
def test_words_alone_are_enough_where_they_are_known(
    explained: Any, words: str, preset: str | None, code: int, kind: str
) -> None:
    document = explained(words, preset=preset)
    assert (document["code"], document["class"]) == (code, kind)
    assert document["code_assumed"] is True


@pytest.mark.parametrize(
    "text",
    [
        "535 登录频率限制",
        "535 登录频率限制".encode("gb18030").decode("latin-1"),
        "535 登录频率限制".encode("gb18030").decode("utf-8", "surrogateescape"),
    ],
)
def test_gbk_is_read_however_it_was_shown(explained: Any, text: str) -> None:
    document = explained(text, preset="qq")
    assert document["text"] == "登录频率限制"
    assert "may heal by itself" in document["hint"]


@pytest.mark.parametrize(
    ("reply", "preset", "phase"),
    [
        ("535 5.7.8 no", "gmail", "auth"),
        ("454 4.7.0 Too many login attempts", "gmail", "auth"),
        ("550 no such user", None, "rcpt"),
        ("552 too large", None, "dot"),
        ("501 mail from must equal authorized user", "qq", "mail"),
        ("250 ok", None, "dot"),
        ("334 VXNlcm5hbWU6", None, "auth"),
        ("354 go ahead", None, "data"),
        ("220 ready", None, "greeting"),
    ],
)
def test_the_phase_is_the_likeliest_unless_it_is_said(
    explained: Any, reply: str, preset: str | None, phase: str
) -> None:
    document = explained(reply, preset=preset)
    assert (document["phase"], document["phase_assumed"]) == (phase, True)
    said = explained(reply, preset=preset, phase="mail")
    assert (said["phase"], said["phase_assumed"]) == ("mail", False)


@pytest.mark.parametrize(
    ("reply", "preset", "does"),
    [
        ("250 2.0.0 queued", None, "notes it"),
        ("354 go", None, "goes on"),
        ("550 5.1.1 no such user", None, "gives up at once"),
        ("451 later", None, "by the schedule of the queue"),
        ("452 4.5.3 too many recipients", None, "another transaction at once"),
        ("451 MI:DMC", "126", "opens a new connection"),
        ("432 4.3.2 concurrent", "m365", "one connection less"),
        ("535 no", "qq", "15 min; while it does not work, 60 min, 6 h, 24 h"),
        ("451 DT:SPM", "163", "again after 2 min, 2 times in all, and then gives up"),
        ("421 4.7.28 rate", "gmail", "sends slower after that"),
    ],
)
def test_what_asyncnet_does_is_told(
    explained: Any, reply: str, preset: str | None, does: str
) -> None:
    assert does in explained(reply, preset=preset)["does"]


@pytest.mark.parametrize(
    ("words", "preset", "told"),
    [
        ("", None, "give the reply"),
        ("  \n ", None, "give the reply"),
        ("hello there", None, "'hello there' is no reply, and no rule knows its words"),
        ("99 bottles", None, "is no reply"),
        ("٢٥٠ ok", None, "is no reply"),
        (DAILY, "gmial", "unknown preset 'gmial'; did you mean 'gmail'?"),
        ("\x1b]0;evil\x07", "gmail", "is no reply"),
    ],
)
def test_what_is_no_reply_is_told_with_64(words: str, preset: str | None, told: str) -> None:
    with pytest.raises(CommandFailed) as caught:
        explain.run([words], None, preset, None, as_json=False)
    assert caught.value.code == 64
    assert told in caught.value.lines[0]
    assert caught.value.lines[0].isprintable()


SIGNS = st.characters() | st.sampled_from("0245579 .-\n(),':b")


@given(
    st.text(SIGNS, max_size=60),
    st.sampled_from([None, "gmail", "qq", "126", "m365"]),
    st.sampled_from([None, "auth", "rcpt", "dot"]),
)
def test_whatever_is_pasted_is_explained_or_refused(
    text: str, preset: str | None, phase: str | None
) -> None:
    try:
        found = explain.explain(text, catalogue(), preset, phase)
    except CommandFailed:
        return
    assert found.reply.code in range(200, 600)
    assert "".join(found.reply.lines).replace("\t", " ").isprintable()


def test_no_control_character_reaches_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "550 \x1b[31mred \x9b0m \u202e [bold]x")
    assert "\x1b" not in text
    assert "\x9b" not in text
    assert "\u202e" not in text
    assert "[bold]x" in text


def test_an_administrator_s_rules_count(explained: Any, tmp_path: Path) -> None:
    (tmp_path / "providers.toml").write_text(
        '[[rules.gmail]]\ncodes = [550]\nkind = "throttle"\nhint = "ours"\n'
    )
    document = explained(DAILY, preset="gmail")
    assert (document["class"], document["hint"]) == ("throttle", "ours")


def test_an_administrator_s_mistake_is_told_with_78(tmp_path: Path) -> None:
    (tmp_path / "providers.toml").write_text('[preset.gmail]\nhots = "x"\n')
    with pytest.raises(
        CommandFailed, match=r"providers\.toml: preset\.gmail: unknown key"
    ) as caught:
        explain.run([DAILY], None, "gmail", None, as_json=False)
    assert caught.value.code == 78
