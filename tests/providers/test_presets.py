"""The table of providers: what stands in it, and how mistakes in it are told."""

from collections.abc import Iterable
from re import _parser  # type: ignore[attr-defined]
from typing import Any

import pytest

from asyncnet.providers.builtin import catalogue
from asyncnet.providers.presets import Catalogue, ProviderError


@pytest.mark.parametrize(
    ("name", "host", "port", "ports"),
    [
        ("qq", "smtp.qq.com", 465, {465: "implicit", 587: "starttls"}),
        ("exmail", "smtp.exmail.qq.com", 465, {465: "implicit"}),
        ("163", "smtp.163.com", 465, {465: "implicit"}),
        ("126", "smtp.126.com", 465, {465: "implicit"}),
        ("gmail", "smtp.gmail.com", 465, {465: "implicit", 587: "starttls"}),
        ("m365", "smtp.office365.com", 587, {587: "starttls"}),
        ("outlook", "smtp-mail.outlook.com", 587, {587: "starttls"}),
        ("yahoo", "smtp.mail.yahoo.com", 465, {465: "implicit"}),
        ("icloud", "smtp.mail.me.com", 587, {587: "starttls"}),
        (
            "ses",
            None,
            587,
            {
                25: "starttls",
                465: "implicit",
                587: "starttls",
                2465: "implicit",
                2587: "starttls",
            },
        ),
        (
            "sendgrid",
            "smtp.sendgrid.net",
            587,
            {25: "starttls", 465: "implicit", 587: "starttls", 2525: "starttls"},
        ),
        ("mailgun", "smtp.mailgun.org", 587, {465: "implicit", 587: "starttls"}),
    ],
)
def test_each_preset_knows_where_its_server_is(
    name: str, host: str | None, port: int, ports: dict[int, str]
) -> None:
    preset = catalogue().by_name(name)
    assert (preset.host, preset.port, dict(preset.ports)) == (host, port, ports)
    assert preset.credential


def test_foxmail_is_qq() -> None:
    assert catalogue().by_name("Foxmail") is catalogue().by_name("qq")


def test_texts_of_qq_and_netease_are_read_as_gb18030() -> None:
    of = {name: catalogue().by_name(name).charset for name in ("qq", "exmail", "163", "126")}
    assert set(of.values()) == {"gb18030"}
    assert catalogue().by_name("gmail").charset == "latin-1"


def test_limits_are_those_to_begin_with() -> None:
    def limits(name: str) -> tuple[int | None, int | None, float, int | None]:
        p = catalogue().by_name(name)
        return p.connections, p.messages_per_connection, p.interval_s, p.recipients

    assert limits("qq") == (1, 20, 2.0, None)
    assert limits("gmail") == (2, 50, 0.0, 100)
    assert limits("m365") == (2, None, 2.4, None)
    assert limits("yahoo") == (1, 20, 0.0, None)
    assert limits("icloud") == (1, None, 0.0, 500)
    assert limits("sendgrid") == limits("mailgun") == (4, 500, 0.0, None)
    assert catalogue().by_name("ses").connection_s == 60.0
    assert {n for n, p in catalogue().presets.items() if p.no_rset} == {
        "qq",
        "foxmail",
        "exmail",
        "163",
        "126",
    }


def test_an_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(ProviderError, match="did you mean 'gmail'"):
        catalogue().by_name("gmial")


def test_a_host_alone_finds_its_preset() -> None:
    assert catalogue().by_host("SMTP.qq.com.") is catalogue().by_name("qq")
    assert catalogue().by_host("mail.example.org") is None


def test_everybodys_rules_come_after_the_presets_own() -> None:
    table: Catalogue = catalogue()
    book = table.rule_book(table.by_name("gmail"))
    assert book.rules == table.rules["google"] + table.rules["any"]
    assert table.rule_book(None).rules == table.rules["any"]


def test_every_list_of_rules_belongs_to_a_preset_or_to_all() -> None:
    used = {name for preset in catalogue().presets.values() for name in preset.rules}
    assert used | {"any"} == set(catalogue().rules)


def open_repeats(parsed: Iterable[Any]) -> int:
    """The most repeats without an end that one way through a parsed pattern passes.

    A look ahead has ways of its own: what fails behind it does not make it try them again.
    """
    behind_each_other, on_their_own = 0, 0
    for op, given in parsed:
        match str(op):
            case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
                _, most, repeated = given
                behind_each_other += (most is _parser.MAXREPEAT) + open_repeats(repeated)
            case "SUBPATTERN":
                behind_each_other += open_repeats(given[-1])
            case "ATOMIC_GROUP":
                behind_each_other += open_repeats(given)
            case "BRANCH":
                behind_each_other += max(map(open_repeats, given[1]))
            case "ASSERT" | "ASSERT_NOT":
                on_their_own = max(on_their_own, open_repeats(given[1]))
            case "GROUPREF_EXISTS":
                raise AssertionError("not foreseen here")
    return max(behind_each_other, on_their_own)


@pytest.mark.parametrize(
    ("pattern", "repeats"),
    [
        ("a.{0,9}b", 0),
        ("a.*b|c+", 1),
        ("(?=.*a)(?=.*b)", 1),
        ("(a|b.*).*c", 2),
        ("(?:a+)*?", 2),
        ("(?=.*a.*b)", 2),
    ],
)
def test_repeats_are_counted(pattern: str, repeats: int) -> None:
    assert open_repeats(_parser.parse(pattern)) == repeats


def test_no_reply_can_keep_a_rule_busy() -> None:
    """A server chooses the text: two repeats in a row take its length to the power of three."""
    rules = [rule for rules in catalogue().rules.values() for rule in rules]
    patterns = [rule.text.pattern for rule in rules if rule.text is not None]
    assert len(patterns) > 20
    assert [it for it in patterns if open_repeats(_parser.parse(it)) > 1] == []


@pytest.mark.parametrize(
    ("name", "octets", "from_is_login", "limits"),
    [
        ("qq", 73_400_320, True, "secret"),
        ("exmail", None, True, "domain and day"),
        ("163", None, True, "15 minutes"),
        ("126", None, True, "per day"),
        ("gmail", 35_882_577, False, "2,000 within any 24 hours"),
        ("m365", 157_286_400, False, "10,000 recipients a day"),
        ("outlook", None, False, None),
        ("yahoo", None, False, "20 messages per connection"),
        ("icloud", 20_000_000, False, "1,000 recipients a day"),
        ("ses", None, False, "24 hours"),
        ("sendgrid", None, False, "5,000 messages per connection"),
        ("mailgun", None, False, None),
    ],
)
def test_each_preset_knows_what_its_provider_allows(
    name: str, octets: int | None, from_is_login: bool, limits: str | None
) -> None:
    preset = catalogue().by_name(name)
    assert (preset.octets, preset.from_is_login) == (octets, from_is_login)
    assert limits == preset.limits or (limits or "no such") in (preset.limits or "")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("qq", "16-character authorization code"),
        ("exmail", "client password"),
        ("163", "authorization code"),
        ("126", "authorization code"),
        ("gmail", "app password"),
        ("m365", "OAuth2"),
        ("outlook", "OAuth2 only"),
        ("yahoo", "app password"),
        ("icloud", "app-specific password"),
        ("ses", "SMTP credentials"),
        ("sendgrid", "the word apikey as user"),
        ("mailgun", "SMTP password of the sending domain"),
    ],
)
def test_each_preset_says_what_its_login_wants(name: str, words: str) -> None:
    assert words in (catalogue().by_name(name).credential or "")
