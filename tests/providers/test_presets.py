"""The table of providers: what stands in it, and how mistakes in it are told."""

import pytest

from asyncnet.mail.verdict import Kind, Phase, Scope
from asyncnet.providers.builtin import catalogue
from asyncnet.providers.presets import Catalogue, ProviderError, parse


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


def test_every_list_of_rules_belongs_to_a_preset_or_to_all() -> None:
    used = {name for preset in catalogue().presets.values() for name in preset.rules}
    assert used | {"any"} == set(catalogue().rules)


def test_rules_are_read_into_their_types() -> None:
    read = parse(
        """
        [[rules.any]]
        kind = "throttle"
        phases = ["mail", "dot"]
        codes = [450]
        enhanced = ["4.2"]
        text = 'peak .* limit'
        scope = "account"
        delay_s = 60
        """
    )
    rule = read.rules["any"][0]
    assert (rule.kind, rule.scope, rule.delay_s) == (Kind.THROTTLE, Scope.ACCOUNT, 60.0)
    assert rule.phases == {Phase.MAIL, Phase.DOT}
    assert rule.fits(Phase.DOT, 450, "4.2.1", "the PEAK relay limit")
    assert not rule.fits(Phase.RCPT, 450, "4.2.1", "the peak relay limit")
    assert not rule.fits(Phase.DOT, 451, "4.2.1", "the peak relay limit")
    assert not rule.fits(Phase.DOT, 450, "4.20.1", "the peak relay limit")
    assert not rule.fits(Phase.DOT, 450, None, "the peak relay limit")
    assert not rule.fits(Phase.DOT, 450, "4.2.1", "the daily limit")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("preset = ?\n", "line 1"),
        ("[presets.a]", "unknown key 'presets'; did you mean 'preset'"),
        ('[preset.a]\nhots = "x"', "preset.a: unknown key 'hots'; did you mean 'host'"),
        ("preset = 1", "preset: 1 is no table"),
        ("preset.a = 1", "preset.a: 1 is no table"),
        ("rules.a = 1", "rules.a: 1 is no list of tables"),
        ("rules.a = [1]", r"rules.a\[0\]: 1 is no table"),
        ("[preset.a]\nport = 465", "preset.a: ports does not tell what port 465 speaks"),
        ('[preset.a]\nports = { 587 = "tls" }', "preset.a: ports: 'tls' is none of"),
        ('[preset.a]\nconnections = "many"', "preset.a: connections: 'many' is no whole number"),
        ('[preset.a]\nrules = ["b"]\nports={587="none"}', "no list of rules named 'b'"),
        ("[[rules.a]]\ncodes = [550]", r"rules.a\[0\]: kind is missing"),
        ('[[rules.a]]\nkind = "sad"', r"rules.a\[0\]: kind: 'sad' is not a valid Kind"),
        ('[[rules.a]]\nkind = "quota"\ncodes = [99]', "a code is 200 to 599"),
        ('[[rules.a]]\nkind = "quota"\ntext = "("', r"rules.a\[0\]: text: "),
        ('[[rules.a]]\nkind = "quota"\naction = "dance"', "'dance' is none of next_transaction"),
        ('[[rules.a]]\nkind = "quota"\ndelay_s = -1', "-1 is no number of seconds"),
    ],
)
def test_a_mistake_in_the_table_is_told_with_its_place(text: str, told: str) -> None:
    with pytest.raises(ProviderError, match=told):
        parse(text)


def test_an_alias_cannot_take_another_presets_name() -> None:
    with pytest.raises(ProviderError, match="'a' is the name of another preset too"):
        parse('[preset.a]\nports={587="none"}\n[preset.b]\nports={587="none"}\naliases=["a"]')


def test_everybodys_rules_come_after_the_presets_own() -> None:
    table: Catalogue = catalogue()
    book = table.rule_book(table.by_name("gmail"))
    assert book.rules == table.rules["google"] + table.rules["any"]
    assert table.rule_book(None).rules == table.rules["any"]
