"""What a server offers and who it is, in words for a check-up.  No I/O."""

from datetime import datetime

from asyncnet.delivery.certificate import Certificate
from asyncnet.delivery.exchange import Target
from asyncnet.delivery.tls import TlsFacts
from asyncnet.smtp.capability import Capabilities
from asyncnet.smtp.transaction import Plan, best_plan

_PLANS = {
    Plan.SERIAL: "one command at a time",
    Plan.JOINED: "all commands of a mail in one write",
    Plan.CHUNKED: "a whole mail in one write",
}


def offered(capabilities: Capabilities, target: Target, *, final: bool) -> tuple[str, ...]:
    """What the server offers; and what we make of it, if it is what counts."""
    words = [" ".join(filter(None, item)) for item in capabilities.keywords.items()]
    plan = min(best_plan(capabilities), target.plan)
    made_of_it = (f"plan {plan.name}: {_PLANS[plan]}",) if final else ()
    return (", ".join(words) or "nothing beyond HELO", *made_of_it)


def drawn(facts: TlsFacts, shown: Certificate, now: datetime) -> tuple[str, ...]:
    """The certificate and its chain, one line each."""
    days = (shown.not_after - now).days
    names = ", ".join(shown.names) or "no alternative name"
    issuers = [shown.issuer, *(issuer.issuer for issuer in facts.issuers)]
    return (
        f"made out to {names}",
        f"{shown.key}, valid until {shown.not_after:%Y-%m-%d} ({days} days)",
        f"issued by {', by '.join(dict.fromkeys(issuers))}"
        f"{'' if facts.verified else ' (NOT verified)'}",
        f"pin_sha256 = {shown.pin_sha256}",
    )
