"""A server's reply as people paste it: from a log, from an error, or words alone.  No I/O."""

import re
from collections.abc import Sequence

from asyncnet.mail.verdict import Phase
from asyncnet.providers.presets import Preset
from asyncnet.providers.rules import RuleBook
from asyncnet.smtp.reply import Reply

# As logs and programs show replies: "550 5.1.1 no", "(550, b'5.1.1 no')", "said: 550-5.1.1 no".
_LINE = re.compile(r"(?:^|[(:]\s?)([2-5][0-9][0-9])(?:(,\s*b?['\"])|[ -]|$)\s*(.*)", re.ASCII)
_ENHANCED = re.compile(r"([245])\.[0-9]{1,3}\.[0-9]{1,3}(?: |$)", re.ASCII)

# Where a reply comes from that nobody says more of: the likeliest place first.
_LIKELY = (
    Phase.RCPT,
    Phase.DOT,
    Phase.MAIL,
    Phase.AUTH,
    Phase.DATA,
    Phase.GREETING,
    Phase.TLS,
    Phase.EHLO,
)
_BY_CODE = {
    421: Phase.MAIL,
    432: Phase.AUTH,
    454: Phase.AUTH,
    534: Phase.AUTH,
    535: Phase.AUTH,
    538: Phase.AUTH,
    501: Phase.MAIL,
    530: Phase.MAIL,
    552: Phase.DOT,
    554: Phase.DOT,
}

# What the server says where all goes well; after the dot a 2yz is more than that: accepted.
GOES_ON = {
    Phase.GREETING: (220,),
    Phase.TLS: (220,),
    Phase.AUTH: (235, 334),
    Phase.DATA: (354,),
    Phase.EHLO: (250,),
    Phase.MAIL: (250,),
    Phase.RCPT: (250, 251, 252),
}


def joined(words: Sequence[str]) -> str:
    """Arguments that are lines each make lines; those of a reply without quotes make one."""
    as_lines = len(words) > 1 and all(_LINE.match(word) for word in words)
    return ("\n" if as_lines else " ").join(words)


def as_meant(text: str, preset: Preset | None) -> str:
    """The text as the server meant it, where its octets were passed on or shown as Latin-1."""
    charset = preset.charset if preset is not None else "latin-1"
    # Octets of the command line that are no UTF-8 come as lone surrogates (PEP 383).
    escaped = any("\udc80" <= c <= "\udcff" for c in text)
    try:
        if escaped:
            text = text.encode("utf-8", "surrogateescape").decode(charset)
        elif not text.isascii():
            text = text.encode("latin-1").decode(charset)
    except UnicodeError:
        pass  # it was right as it was
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)


def read_reply(lines: Sequence[str]) -> Reply | None:
    """The reply in the lines: from the first that bears a code, as long as they bear the same."""
    code, texts = "", []
    for line in lines:
        found = _LINE.search(line)
        if found is None or (code and found[1] != code):
            if code:
                texts.append(line)  # a line that was broken to be shown
            continue
        code = found[1]
        if found[2] is None:
            texts.append(found[3])
        else:  # as Python shows a pair of code and octets
            texts += found[3].rstrip("')\"").split("\\n")
    return Reply(int(code), tuple(texts)) if code else None


def guessed(lines: Sequence[str], book: RuleBook, phase: Phase | None) -> Reply | None:
    """A reply for words without a code: by their enhanced code, or by a rule that knows them."""
    if not lines:
        return None
    enhanced = _ENHANCED.match(lines[0])
    if enhanced is not None:
        return Reply({"2": 250, "4": 450, "5": 550}[enhanced[1]], tuple(lines))
    text = " ".join(lines)
    best, known = 0, None
    for rule in book.rules:
        here = phase is None or not rule.phases or phase in rule.phases
        match = rule.text.search(text) if here and rule.text is not None else None
        if match is not None and len(match[0]) > best:  # who knows most of it
            best, known = len(match[0]), rule
    if known is None:
        return None
    return Reply(min(known.codes, default=450), (" ".join((*known.enhanced[:1], text)),))


def phase_of(reply: Reply, book: RuleBook) -> Phase:
    """Where such a reply comes from, most likely."""
    if reply.code in (220, 235, 334, 354):
        return next(phase for phase, codes in GOES_ON.items() if reply.code in codes)
    if reply.code < 400:
        return Phase.DOT
    enhanced, text = reply.divided()
    by_code = _BY_CODE.get(reply.code, Phase.RCPT)
    for phase in (by_code, *_LIKELY):
        rule = book.find(phase, reply.code, enhanced, text)
        if rule is not None and (rule.phases or rule.text or rule.enhanced):
            return phase
    return by_code
