"""Mailboxes as people type them: what is read, and what each mistake is told."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnet.mail.address import (
    MAX_MAILBOX_CHARACTERS,
    AddressError,
    Mailbox,
    parse_addr_spec,
    parse_mailbox,
)

LOCAL_64 = "l" * 64
DOMAIN_189 = ".".join(["d" * 62] * 3)

GOOD = [
    # text, name, local, domain, addr_spec (None: local@domain as it stands)
    ("a@example.org", "", "a", "example.org", None),
    ("  a@example.org ", "", "a", "example.org", None),
    ("\u00a0a@example.org\u3000", "", "a", "example.org", None),
    ("<a@example.org>", "", "a", "example.org", None),
    ("< a@example.org >", "", "a", "example.org", None),
    ("Ann <a@example.org>", "Ann", "a", "example.org", None),
    ("Ann<a@example.org>", "Ann", "a", "example.org", None),
    ("Ann B. Clark <a@example.org>", "Ann B. Clark", "a", "example.org", None),
    ("O'Neil & Co <a@example.org>", "O'Neil & Co", "a", "example.org", None),
    ("Jo (Sales) <jo@example.org>", "Jo (Sales)", "jo", "example.org", None),
    ("[list] Jo <jo@example.org>", "[list] Jo", "jo", "example.org", None),
    ('"Last, First" <a@example.org>', "Last, First", "a", "example.org", None),
    ('"Last, First" Jr. <a@example.org>', "Last, First Jr.", "a", "example.org", None),
    (r'"The \"Boss\" \\ Co" <a@example.org>', 'The "Boss" \\ Co', "a", "example.org", None),
    ('"a@b.test <x>" <c@example.org>', "a@b.test <x>", "c", "example.org", None),
    ('"" <a@example.org>', "", "a", "example.org", None),
    ('" padded " <a@example.org>', " padded ", "a", "example.org", None),
    ("张三 <zhang@example.org>", "张三", "zhang", "example.org", None),
    ("Zoë 🎉 <zoe@example.org>", "Zoë 🎉", "zoe", "example.org", None),
    ("first.last+tag@example.org", "", "first.last+tag", "example.org", None),
    ("!#$%&'*+/=?^_`{|}~-@example.org", "", "!#$%&'*+/=?^_`{|}~-", "example.org", None),
    ('"a b"@example.org', "", '"a b"', "example.org", None),
    ('"a@b"@example.org', "", '"a@b"', "example.org", None),
    ('"a,b<c>"@example.org', "", '"a,b<c>"', "example.org", None),
    (r'"a\"b"@example.org', "", r'"a\"b"', "example.org", None),
    ('"a..b"@example.org', "", '"a..b"', "example.org", None),
    ('""@example.org', "", '""', "example.org", None),
    ('Q <"a@b"@example.org>', "Q", '"a@b"', "example.org", None),
    ("a@localhost", "", "a", "localhost", None),
    ("10001@qq.com", "", "10001", "qq.com", None),
    ("a@EXAMPLE.Org", "", "a", "EXAMPLE.Org", None),
    ("a@xn--bcher-kva.example", "", "a", "xn--bcher-kva.example", None),
    ("a@bücher.example", "", "a", "bücher.example", "a@xn--bcher-kva.example"),
    ("a@BÜCHER.example", "", "a", "BÜCHER.example", "a@xn--bcher-kva.example"),
    ("a@straße.example", "", "a", "straße.example", "a@xn--strae-oqa.example"),
    ("a@例え。テスト", "", "a", "例え。テスト", "a@xn--r8jz45g.xn--zckzah"),
    ("a@ｅｘａｍｐｌｅ.org", "", "a", "ｅｘａｍｐｌｅ.org", "a@example.org"),
    ("用户@例え.test", "", "用户", "例え.test", "用户@xn--r8jz45g.test"),
    ("é@example.org", "", "é", "example.org", None),
    ("a@[192.0.2.1]", "", "a", "[192.0.2.1]", None),
    ("a@[IPv6:2001:db8::1]", "", "a", "[IPv6:2001:db8::1]", None),
    ("N <a@[IPv6:::1]>", "N", "a", "[IPv6:::1]", None),
    (f"{LOCAL_64}@{DOMAIN_189}", "", LOCAL_64, DOMAIN_189, None),
]


@pytest.mark.parametrize(("text", "name", "local", "domain", "addr_spec"), GOOD)
def test_a_mailbox_is_read(
    text: str, name: str, local: str, domain: str, addr_spec: str | None
) -> None:
    mailbox = parse_mailbox(text)
    assert mailbox == Mailbox(name, local, domain)
    assert mailbox.addr_spec == (addr_spec or f"{local}@{domain}")
    assert mailbox.needs_smtputf8 is not local.isascii()


BAD = [
    ("", "is empty"),
    ("   ", "is empty"),
    ("<>", "is empty"),
    ("Ann <>", "is empty"),
    ("name", "is missing the domain: write name@example.org"),
    ("<name>", "is missing the domain"),
    ("Ann Clark", "is missing the domain"),
    ("name@", "is missing the domain after the @"),
    ("@example.org", "has nothing before the @"),
    ("@", "has nothing before the @"),
    ("a@b@example.org", "has @ before the @"),
    ("name＠example.org", "full-width"),
    ("a b@example.org", "has a space before the @"),
    ("a@exam ple.org", "has a space in the domain"),
    ("a@exa_mple.org", 'has "_" in the domain'),
    ("a@example.org.", "ends in a dot"),
    ("a@.example.org", "a dot at a wrong place in the domain"),
    ("a@example..org", "a dot at a wrong place in the domain"),
    ("a@-example.org", "a hyphen at the edge"),
    ("a@example-.org", "a hyphen at the edge"),
    (f"a@{'d' * 64}.org", "more than 63 characters between two dots"),
    (f"a@{'d.' * 130}org", "a domain of 263 octets"),
    (f"a@{'ü' * 300}.org", "a domain of 304 octets"),
    (f"a@{'ü' * 80}.org", "no international domain name"),
    ("a@a\u0301\u200b..test", "no international domain name"),
    ("a@i❤.example", "no international domain name"),
    ("a@b\u202ec.example", 'has the domain "bU+202Ec.example"'),
    (".a@example.org", "a dot at a wrong place before the @"),
    ("a.@example.org", "a dot at a wrong place before the @"),
    ("a..b@example.org", "a dot at a wrong place before the @"),
    (f"{'l' * 65}@example.org", "65 octets before the @"),
    (f"{'é' * 33}@example.org", "66 octets before the @"),
    (f"{LOCAL_64}@{DOMAIN_189}.d", "an address of 255 octets"),
    ("a\u200bb@example.org", "invisible character, U+200B"),
    ("a\u00a0b@example.org", "invisible character, U+00A0"),
    ('"a\u202eb"@example.org', "invisible character, U+202E"),
    ("a@b.test, c@d.test", "between addresses: give several addresses as a list"),
    ("a@b.test; c@d.test", "between addresses"),
    ("A <a@b.test>, B <c@d.test>", "more than one address: give several"),
    ("A <a@b.test> B <c@d.test>", 'has ">" inside the address'),
    ("Last, First <a@example.org>", "put the name in double quotes"),
    ("a@b.test <c@example.org>", "put the name in double quotes"),
    ("Team: a <a@example.org>", "put the name in double quotes"),
    ("back\\slash <a@example.org>", "put the name in double quotes"),
    ("Ann <a@example.org", 'has "<" without ">"'),
    ("Ann <a@example.org> x", "goes on after the address"),
    ("a@example.org>", 'has ">" inside the address'),
    ("<<a@example.org>>", 'has "<" inside the address'),
    ("a@example.org (Ann)", "a comment in parentheses: write Name <name@example.org>"),
    ("a(x)@example.org", "a comment in parentheses"),
    ('"Ann <a@example.org>', "does not close it"),
    ('"a@example.org', "does not close it"),
    ('"a"b@example.org', 'has " before the @'),
    ('"a\\', "does not close it"),
    ("mailto:a@example.org", 'begins with "mailto:"'),
    ("a@[192.0.2.256]", "no IP address between [ and ]"),
    ("a@[192.0.2.1", "no IP address between [ and ]"),
    ("a@[IPv6:fe80::1%eth0]", "no IP address between [ and ]"),
    ("a@[2001:db8::1]", "no IP address between [ and ]"),
    ("a@[]", "no IP address between [ and ]"),
    ("a@[", "no IP address between [ and ]"),
    ("a@example.org\r\nBcc: x@y.test", "contains a line break"),
    ("a@example.org\n", "contains a line break"),
    ("Ann\u2028 <a@example.org>", "contains a line break"),
    ("Ann\u0085 <a@example.org>", "contains a line break"),
    ("Ann\0 <a@example.org>", "a control character, U+0000"),
    ("Ann\t<a@example.org>", "a control character, U+0009"),
    ("Ann\x7f <a@example.org>", "a control character, U+007F"),
    ("Ann \ud83d <a@example.org>", "half of a character, U+D83D"),
    (f"{'n' * 1001} <a@example.org>", "a name of more than 1000 characters"),
    ("x" * 1_000_000, "it has 1000000 characters"),
]


@pytest.mark.parametrize(("text", "told"), BAD)
def test_a_mistake_is_named(text: str, told: str) -> None:
    with pytest.raises(AddressError) as caught:
        parse_mailbox(text)
    assert told in str(caught.value)
    assert str(caught.value).startswith(caught.value.problem)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("name", "local", "domain"),
    [
        ("a\r\nBcc: x@y.test", "a", "example.org"),
        ("", "a\n", "example.org"),
        ("", "a>, <x", "example.org"),
        ("", "a", "example.org\r"),
        ("", "a", "example.org, b@example.com"),
        ("", "a", "example.org>"),
        ("", "", "example.org"),
        ("", "a", ""),
    ],
)
def test_there_is_no_bad_mailbox(name: str, local: str, domain: str) -> None:
    with pytest.raises(AddressError):
        Mailbox(name, local, domain)


def test_an_envelope_address_has_no_name() -> None:
    assert parse_addr_spec("<a@example.org>") == Mailbox("", "a", "example.org")
    assert parse_addr_spec("a@example.org") == Mailbox("", "a", "example.org")
    with pytest.raises(AddressError, match="only the address has a place"):
        parse_addr_spec("Ann <a@example.org>")


@pytest.mark.parametrize(
    "piece", ['"', "\\", '\\"', "<", ">", "@", "(", ",", ".", "a.", "-", "[", " ", "é", "。"]
)
@pytest.mark.parametrize("frame", ["{}", '"{}', "<{}>", "a@{}", "{}@b", "N <{}@b>", '"{}"@b'])
@pytest.mark.parametrize("characters", [MAX_MAILBOX_CHARACTERS - 10, 1_000_000])
def test_no_text_takes_long(piece: str, frame: str, characters: int) -> None:
    text = frame.format(piece * (characters // len(piece)))
    begun = time.process_time()
    with pytest.raises(AddressError):
        parse_mailbox(text)
    assert time.process_time() - begun < 10  # a search that grows with the square takes minutes


@given(st.text(alphabet=st.sampled_from("ab.@<> '-_\"é"), max_size=30))
def test_the_short_cut_for_frequent_addresses_reads_as_the_long_way(text: str) -> None:
    def read(text: str) -> Mailbox | str:
        try:
            return parse_mailbox(text)
        except AddressError as error:
            return str(error)

    assert read(text) == read(f" {text}")  # which the short cut does not know


@given(st.text(alphabet=st.one_of(st.sampled_from('ab.@<>",\\ ()[]:;é\n'), st.characters())))
def test_any_text_is_a_mailbox_or_an_address_error(text: str) -> None:
    try:
        mailbox = parse_mailbox(text)
    except AddressError:
        return
    quoted = mailbox.name.replace("\\", "\\\\").replace('"', '\\"')
    assert parse_mailbox(f'"{quoted}" <{mailbox.local}@{mailbox.domain}>') == mailbox
    assert parse_mailbox(mailbox.addr_spec).addr_spec == mailbox.addr_spec
    assert not set(mailbox.addr_spec) & set("\r\n\0\u2028\u2029\u0085")
