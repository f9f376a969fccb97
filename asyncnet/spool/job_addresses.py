"""Reading who and where: mailboxes, the reverse-path, a server of the job's own.  No I/O."""

import ipaddress
import re

from asyncnet.mail.address import AddressError, Mailbox, parse_addr_spec, parse_mailbox
from asyncnet.spool.document import MapNode, Node, TextNode, shown
from asyncnet.spool.job_values import Mistakes, line, members, note, several, word

_SERVER = re.compile(r"(?:\[([^\]]*)\]|([^\[\]:/]+))(?::([^/:]*))?")
_HOST = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?")


def mailbox(node: Node, field: str, found: Mistakes) -> Mailbox | None:
    """ "Name <a@b>" or {name, addr}."""
    if isinstance(node, MapNode):
        return _mailbox_of_parts(node, field, found)
    text = word(node, field, found)
    if text is None:
        return None
    try:
        return parse_mailbox(text)
    except AddressError as error:
        note(found, field, node, error.problem, error.suggestion)
        return None


def _mailbox_of_parts(node: MapNode, field: str, found: Mistakes) -> Mailbox | None:
    parts = members(node, field, found, {"name": line, "addr": addr_spec}, required="addr")
    if parts is None:
        return None
    address = parts["addr"]
    try:
        return Mailbox(parts.get("name", ""), address.local, address.domain)
    except AddressError as error:
        note(found, field, node, error.problem, error.suggestion)
        return None


def addr_spec(node: Node, field: str, found: Mistakes) -> Mailbox | None:
    """An address without a name."""
    text = word(node, field, found)
    if text is None:
        return None
    try:
        return parse_addr_spec(text)
    except AddressError as error:
        note(found, field, node, error.problem, error.suggestion)
        return None


def mailboxes(node: Node, field: str, found: Mistakes) -> tuple[Mailbox, ...] | None:
    """An address or a list of them."""
    return several(node, field, found, mailbox)


def reverse_path(node: Node, field: str, found: Mistakes) -> str | None:
    """An address for MAIL FROM; "" in quotes is the null reverse-path (RFC 5321 4.5.5)."""
    if isinstance(node, TextNode) and not node.text:
        return ""
    mailbox = addr_spec(node, field, found)
    return None if mailbox is None else mailbox.addr_spec


def server(node: Node, field: str, found: Mistakes) -> tuple[str, int | None] | None:
    """Host and, where written, port of "host", "host:port", "[::1]:port"."""
    text = word(node, field, found)
    if text is None:
        return None
    parts = _SERVER.fullmatch(text)
    if parts is None or not _is_host(bracketed=parts[1], plain=parts[2]):
        advice = 'write "smtp.example.org", "192.0.2.1:587" or "[2001:db8::1]:587"'
        note(found, field, node, f"{shown(text)!r} is no server", advice)
        return None
    host, port = parts[1] or parts[2], parts[3]
    if port is None:
        return host, None
    if re.fullmatch("[0-9]{1,5}", port) is None or not 1 <= int(port) <= 65535:
        note(found, field, node, f"{shown(port)!r} is no port", "a number from 1 to 65535")
        return None
    return host, int(port)


def _is_host(bracketed: str | None, plain: str | None) -> bool:
    if bracketed is not None:
        return _is_address(bracketed, 6)
    assert plain is not None
    # A name never ends in a label of digits (RFC 1123 section 2.1): "1.2.3" is a slip.
    name = _HOST.fullmatch(plain) is not None and not plain.rpartition(".")[2].isdigit()
    return name or _is_address(plain, 4)


def _is_address(host: str, version: int) -> bool:
    try:
        return ipaddress.ip_address(host).version == version
    except ValueError:
        return False
