"""What a server offers: the keywords of its answer to EHLO (RFC 5321 section 4.1.1.1).  No I/O."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from asyncnet.smtp.reply import Reply

_NUMBER = re.compile(r"[0-9]{1,20}")  # RFC 1870 section 3: up to 20 digits; ASCII ones only


@dataclass(frozen=True)
class Capabilities:
    """Keywords in capitals with their parameters as one text; empty after HELO."""

    keywords: Mapping[str, str] = field(default_factory=dict)

    def __contains__(self, keyword: str) -> bool:
        return keyword in self.keywords

    @cached_property
    def size_limit_octets(self) -> int | None:
        """The largest message taken; None where SIZE tells no limit (RFC 1870 section 4)."""
        limit = self.keywords.get("SIZE", "")
        return int(limit) or None if _NUMBER.fullmatch(limit) else None

    def size_limit(self, usual_octets: int | None) -> int | None:
        """The same; of a server that does not speak of SIZE, what is usual there."""
        return self.size_limit_octets if "SIZE" in self else usual_octets

    @cached_property
    def mechanisms(self) -> tuple[str, ...]:
        """The SASL mechanisms of AUTH, in the server's order (RFC 4954 section 3)."""
        return tuple(self.keywords.get("AUTH", "").upper().split())

    @property
    def recipient_limit(self) -> int | None:
        """RCPTMAX of LIMITS: recipients in one transaction (RFC 9422 section 3.2)."""
        return self._limits.get("RCPTMAX")

    @property
    def domain_limit(self) -> int | None:
        """RCPTDOMAINMAX of LIMITS: domains of those recipients (RFC 9422 section 3.3)."""
        return self._limits.get("RCPTDOMAINMAX")

    @cached_property
    def limits_recipients(self) -> bool:
        """Whether there is any limit on the recipients of one transaction."""
        return self.recipient_limit is not None or self.domain_limit is not None

    @property
    def message_limit(self) -> int | None:
        """MAILMAX of LIMITS: transactions over one connection (RFC 9422 section 3.1)."""
        return self._limits.get("MAILMAX")

    @cached_property
    def _limits(self) -> Mapping[str, int]:
        """Those of LIMITS that are numbers above 0 (RFC 9422 section 2)."""
        found: dict[str, int] = {}
        for limit in self.keywords.get("LIMITS", "").upper().split():
            name, _, value = limit.partition("=")
            if _NUMBER.fullmatch(value) and int(value):
                found.setdefault(name, int(value))
        return found


def parse_capabilities(reply: Reply) -> Capabilities:
    """Read a positive answer to EHLO; its first line is a greeting and offers nothing.

    The old spelling "AUTH=LOGIN PLAIN" counts as AUTH: some servers announce nothing else,
    others both, so the mechanisms of several AUTH lines are joined.
    """
    keywords: dict[str, str] = {}
    for line in reply.lines[1:]:
        keyword, _, parameters = line.strip().partition(" ")
        keyword = keyword.upper()
        if keyword.startswith("AUTH="):
            parameters = f"{keyword.removeprefix('AUTH=')} {parameters}"
            keyword = "AUTH"
        if keyword == "AUTH":
            known = keywords.get("AUTH", "").upper().split()
            new = [name for name in parameters.upper().split() if name not in known]
            keywords["AUTH"] = " ".join(known + new)
        elif keyword:
            keywords[keyword] = parameters.strip()
    return Capabilities(keywords)
