"""What the account's provider is known to refuse, said before it is asked.

The last word has the provider, when the mail is sent: what is known of it may be out of date, so
these are warnings.
"""

from collections.abc import Iterable
from fnmatch import fnmatchcase

from asyncnet.config.values import size_in_words
from asyncnet.delivery.accounts import Account
from asyncnet.mail.letter import Content
from asyncnet.spool.assemble import Assembled, Outgoing


def foreseen(outgoing: Outgoing, content: Content, account: Account) -> tuple[str, ...]:
    """The warnings for one mail by that account."""
    warnings = []
    senders = {outgoing.envelope.reverse_path}
    if isinstance(outgoing, Assembled):
        senders.add(outgoing.letter.from_.addr_spec)
    if foreign := foreign_senders(account, senders):
        warnings.append(
            f"the account {account.name} sends for its login {account.user} alone: its provider "
            f"refuses mail from {', '.join(foreign)}"
        )
    if account.octets is not None and content.octets > account.octets:
        warnings.append(
            f"the message has {size_in_words(content.octets)}, and the provider of the account "
            f"{account.name} takes {size_in_words(account.octets)}"
        )
    return tuple(warnings)


def foreign_senders(account: Account, senders: Iterable[str]) -> list[str]:
    """Those addresses or globs that do not mean the login, where the provider wants it to send."""
    user = (account.user or "").lower()
    if not account.from_is_login or "@" not in user:
        return []
    return sorted(it for it in senders if it and not fnmatchcase(user, it.lower()))
