"""Tables of providers: read into values, laid one over the other, mistakes told in place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnet.mail.verdict import Kind, Phase, Scope
from asyncnet.providers.builtin import catalogue
from asyncnet.providers.presets import ProviderError
from asyncnet.providers.table import overlaid, parse


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
        (
            '[preset.a]\nrules = ["b"]\nports={587="none"}',
            "rules: there is no list of rules named 'b'",
        ),
        ("[[rules.a]]\ncodes = [550]", r"rules.a\[0\]: kind is missing"),
        (
            '[[rules.a]]\nkind = "sad"',
            r"rules.a\[0\]: kind: unknown word 'sad'; known are: auth, content",
        ),
        ('[[rules.a]]\nkind = "quota"\ncodes = [99]', "a code is 200 to 599"),
        ('[[rules.a]]\nkind = "quota"\ntext = "("', r"rules.a\[0\]: text: "),
        ('[[rules.a]]\nkind = "quota"\naction = "dance"', "'dance' is none of next_transaction"),
        ('[[rules.a]]\nkind = "quota"\ndelay_s = -1', "-1 is no number of seconds"),
        ('[[rules.a]]\nkind = "quota"\ndelay_s = nan', "nan is no number of seconds"),
        ('[[rules.a]]\nkind = "qouta"', "did you mean 'quota'"),
        ('[[rules.a]]\nkind = "quota"\nphases = ["rctp"]', "phases: unknown word 'rctp'; did you"),
        ('[preset.a]\ncharset = "gbk2"\nports={587="none"}', "'gbk2' is no charset for replies"),
        ('[preset.A]\nports={587="none"}', "'A' is to be written in small letters"),
        ('[preset.a]\nports={0="none"}', "'0' is no port"),
        (
            '[preset.a]\nports={587="none"}\n[[rules.b]]\nkind="quota"',
            "rules.b: no preset has this",
        ),
    ],
)
def test_a_mistake_in_the_table_is_told_with_its_place(text: str, told: str) -> None:
    with pytest.raises(ProviderError, match=told):
        parse(text)


def test_an_alias_cannot_take_another_presets_name() -> None:
    with pytest.raises(ProviderError, match="'a' is the name of another preset too"):
        parse('[preset.a]\nports={587="none"}\n[preset.b]\nports={587="none"}\naliases=["a"]')


# An administrator's table over the one that comes with the program.

WHERE = "/etc/asyncnet/providers.toml"


def test_given_keys_take_the_place_of_the_preset_s_and_the_others_stay() -> None:
    ours = overlaid(catalogue(), "[preset.qq]\nconnections = 3\nlimits = 'none'", WHERE)
    before, after = catalogue().by_name("qq"), ours.by_name("qq")
    assert (after.connections, after.limits) == (3, "none")
    assert (after.host, after.rules, after.credential) == (
        before.host,
        before.rules,
        before.credential,
    )
    assert ours.by_name("foxmail") is after
    assert catalogue().by_name("qq").connections == 1


def test_a_new_preset_stands_beside_the_others() -> None:
    ours = overlaid(
        catalogue(),
        """
        [preset.corp]
        host = "mail.corp.test"
        ports = { 587 = "starttls" }
        rules = ["microsoft"]
        aliases = ["work"]
        """,
        WHERE,
    )
    assert ours.by_name("work").host == "mail.corp.test"
    assert ours.by_host("mail.corp.test") is ours.by_name("corp")
    assert ours.rule_book(ours.by_name("corp")).rules[0] == catalogue().rules["microsoft"][0]


def test_its_rules_come_before_all_others() -> None:
    ours = overlaid(
        catalogue(),
        """
        [[rules.any]]
        codes = [550]
        kind = "transient"
        hint = "of all"
        [[rules.google]]
        codes = [550]
        enhanced = ["5.4.5"]
        kind = "throttle"
        hint = "of google"
        """,
        WHERE,
    )
    book = ours.rule_book(ours.by_name("gmail"))
    found = [book.find(Phase.DOT, 550, enhanced, "") for enhanced in ("5.4.5", "5.1.1")]
    assert [rule and rule.hint for rule in found] == ["of google", "of all"]
    assert book.rules[2:] == catalogue().rule_book(catalogue().by_name("gmail")).rules
    assert ours.rule_book(None).rules[1:] == catalogue().rule_book(None).rules


def test_a_list_with_a_preset_s_name_is_the_preset_s() -> None:
    ours = overlaid(catalogue(), '[[rules.yahoo]]\nkind = "quota"\ncodes = [599]', WHERE)
    rule = ours.rule_book(ours.by_name("yahoo")).find(Phase.DOT, 599, None, "")
    assert rule is not None
    assert rule.kind is Kind.QUOTA
    assert ours.rule_book(ours.by_name("gmail")).find(Phase.DOT, 599, None, "") is None


def test_an_empty_table_changes_nothing() -> None:
    ours = overlaid(catalogue(), "", WHERE)
    assert dict(ours.presets) == dict(catalogue().presets)
    assert ours.rule_book(None) == catalogue().rule_book(None)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("\n[preset.qq\n", "at line 2"),
        ("[preset.qq]\nconections = 2", "preset.qq: unknown key 'conections'; did you mean 'conn"),
        ("[preset.foxmail]\nconnections = 2", "is another name of 'qq'; write preset.qq"),
        ("[preset.new]\nhost = 'a.test'", 'write ports = { 587 = "starttls" }'),
        ("[preset.qq]\nport = 25", "ports does not tell what port 25 speaks"),
        ("[preset.qq]\nrules = ['tencnet']", "named 'tencnet'; did you mean 'tencent'"),
        ("[preset.qq]\naliases = ['gmail']", "'gmail' is the name of another preset too"),
        ("[[rules.tencnet]]\nkind = 'quota'", "no preset has this list: 'tencnet'; did you mean"),
        ("[[rules.tencent]]\nkind = 'quota'\nhitn = ''", r"rules.tencent\[0\]: unknown key 'hitn'"),
    ],
)
def test_a_mistake_in_it_is_told_with_its_file(text: str, told: str) -> None:
    with pytest.raises(ProviderError, match=told) as caught:
        overlaid(catalogue(), text, WHERE)
    assert str(caught.value).startswith(f"{WHERE}: ")


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
WORDS = st.sampled_from(
    ["preset", "rules", "qq", "any", "kind", "quota", "codes", "ports", "587", "text", "host"]
)


@given(
    st.dictionaries(
        WORDS,
        st.recursive(
            LEAVES,
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
        ),
        max_size=3,
    )
)
def test_any_table_is_read_or_refused_and_nothing_else(table: dict[str, object]) -> None:
    text = "\n".join(f"{key} = {_toml(value)}" for key, value in table.items())
    try:
        overlaid(catalogue(), text, WHERE)
    except ProviderError as error:
        told = str(error)
    else:
        told = WHERE
    assert told.startswith(WHERE)


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(it)}" for key, it in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return "'" + value.replace("'", "") + "'"
    return str(value)
