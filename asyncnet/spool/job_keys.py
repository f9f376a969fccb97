"""The keys of a job in one table: how each is read, and what editors are told of it.  No I/O."""

from dataclasses import dataclass
from typing import Any

from asyncnet.spool import job_addresses as addresses
from asyncnet.spool import job_files as files
from asyncnet.spool import job_values as values


@dataclass(frozen=True, slots=True)
class Key:
    """One key.  schema is its JSON Schema without description and examples."""

    read: values.Read[Any]
    schema: dict[str, Any]
    about: str
    examples: tuple[Any, ...] = ()


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{name}"}


_ADDRESSES = {"anyOf": [_ref("address"), {"type": "array", "items": _ref("address")}]}
_MOMENT = {"type": "string", "format": "date-time"}

KEYS: dict[str, Key] = {
    "id": Key(
        values.job_id,
        {"type": ["string", "integer"], "pattern": "^[A-Za-z0-9._:-]{1,128}$"},
        "Idempotency key: a second job with the same id is not sent; its result is 'duplicate'.",
        ("invoice-2026-117",),
    ),
    "account": Key(
        values.word,
        _ref("text"),
        "The configured account to send by; else chosen by from, else the default one.",
        ("work",),
    ),
    "server": Key(
        addresses.server,
        {"type": "string"},
        "host[:port], name or IP address: another server for this job, used without login. "
        "Not together with account; only where the settings allow it.",
        ("smtp.example.org:587", "192.0.2.1", "[2001:db8::1]:25"),
    ),
    "tls": Key(
        values.choice("none", "starttls", "implicit"),
        {"enum": ["none", "starttls", "implicit"]},
        "How the server of this job is spoken to; by default by the port (465: implicit).",
        ("starttls",),
    ),
    "from": Key(
        addresses.mailbox,
        _ref("address"),
        "Who writes.",
        ("Ada <ada@example.org>",),
    ),
    "sender": Key(
        addresses.mailbox,
        _ref("address"),
        "Who sends, when that is not who writes.",
        ("office@example.org",),
    ),
    "reply_to": Key(
        addresses.mailboxes,
        _ADDRESSES,
        "Where answers shall go.",
        ("help@example.org",),
    ),
    "to": Key(
        addresses.mailboxes,
        _ADDRESSES,
        "Recipients: one address or a list.",
        ("Bob <bob@example.org>", ["bob@example.org", {"name": "Eve", "addr": "eve@example.org"}]),
    ),
    "cc": Key(addresses.mailboxes, _ADDRESSES, "Recipients of a copy.", (["carol@example.org"],)),
    "bcc": Key(
        addresses.mailboxes,
        _ADDRESSES,
        "Recipients whom nobody sees: they stand in no header.",
        (["archive@example.org"],),
    ),
    "envelope_from": Key(
        addresses.reverse_path,
        {"type": "string"},
        'Where bounces go, when not to from; "" for none at all.',
        ("bounces@example.org", ""),
    ),
    "subject": Key(values.line, _ref("text"), "The subject, one line.", ("Hello",)),
    "text": Key(values.body, _ref("text"), "The body as plain text.", ("Dear Bob,\n…\n",)),
    "text_file": Key(
        files.path, _ref("path"), "A UTF-8 file that holds the plain text.", ("letter.txt",)
    ),
    "html": Key(
        values.body,
        _ref("text"),
        "The body as HTML. A local image, <img src='logo.png'>, is embedded by itself.",
        ("<p>Dear Bob,</p>",),
    ),
    "html_file": Key(
        files.path, _ref("path"), "A UTF-8 file that holds the HTML.", ("letter.html",)
    ),
    "calendar": Key(
        files.calendar,
        {"anyOf": [_ref("path"), _ref("calendar")]},
        "An invitation: a UTF-8 file of iCalendar text, shown beside text and HTML.",
        ("meeting.ics", {"method": "CANCEL", "path": "meeting.ics"}),
    ),
    "inline": Key(
        files.inline,
        {
            "type": "object",
            "propertyNames": {"pattern": "^[A-Za-z0-9][A-Za-z0-9._+=@-]{0,127}$"},
            "additionalProperties": {"anyOf": [_ref("path"), _ref("file")]},
        },
        "Images for the HTML by content id; the HTML says <img src='cid:logo'>.",
        ({"logo": "logo.png"},),
    ),
    "attachments": Key(
        files.attachments,
        {"anyOf": [_ref("attachment"), {"type": "array", "items": _ref("attachment")}]},
        "Files that go along. A relative path is looked for beside the job, then in "
        "attachment_roots.",
        (["report.pdf", {"text": "a,b\n", "name": "table.csv"}],),
    ),
    "headers": Key(
        values.headers,
        {
            "type": "object",
            "propertyNames": {"pattern": "^[!-9;-~]{1,76}$"},
            "additionalProperties": {
                "anyOf": [_ref("text"), {"type": "array", "items": _ref("text")}]
            },
        },
        "Further header fields; those that have a key of their own are refused.",
        ({"X-Ticket": "A-17"},),
    ),
    "message_id": Key(
        values.message_id, {"type": "string"}, "Else made once.", ("<a1@example.org>",)
    ),
    "date": Key(
        values.date, _MOMENT, "The Date field; else the time of intake.", ("2026-11-22T10:30:00Z",)
    ),
    "priority": Key(
        values.choice("high", "normal", "low"),
        {"enum": ["high", "normal", "low"]},
        "The order in our queue; the recipient does not see it.",
        ("high",),
    ),
    "send_at": Key(values.date, _MOMENT, "Not before this moment.", ("2026-11-22T10:30:00+08:00",)),
    "expires_at": Key(
        values.date, _MOMENT, "Not after this moment.", ("2026-11-23T10:30:00+08:00",)
    ),
    "on_doubt": Key(
        values.choice("retry", "hold", "fail"),
        {"enum": ["retry", "hold", "fail"]},
        "What happens when the connection broke before the server's last answer.",
        ("hold",),
    ),
    "require_tls": Key(
        values.boolean,
        {"type": "boolean"},
        "Refuse every server on the way that cannot promise TLS (RFC 8689).",
        (True,),
    ),
    "meta": Key(
        values.meta, {"type": "object"}, "Anything; echoed in the result.", ({"ticket": "A-17"},)
    ),
}

# What people write who know other tools, without capitals and marks between words.
SYNONYMS = {
    "address": "to",
    "attach": "attachments",
    "attachment": "attachments",
    "body": "text",
    "content": "text",
    "copy": "cc",
    "deliverat": "send_at",
    "expire": "expires_at",
    "file": "attachments",
    "files": "attachments",
    "header": "headers",
    "host": "server",
    "ics": "calendar",
    "image": "inline",
    "images": "inline",
    "invite": "calendar",
    "mailfrom": "envelope_from",
    "message": "text",
    "recipient": "to",
    "recipients": "to",
    "returnpath": "envelope_from",
    "schedule": "send_at",
    "sendto": "to",
    "smtp": "server",
    "smtpserver": "server",
    "ssl": "tls",
    "starttls": "tls",
    "title": "subject",
}

# What no job says, and where it is said instead.
HINTS = {
    **dict.fromkeys(
        ("auth", "login", "password", "secret", "user", "username"),
        "logins stand in the settings, under [account.NAME]",
    ),
    **dict.fromkeys(("charset", "encoding"), "leave it out: everything goes as UTF-8"),
    "port": "write it behind the server: host:587",
}
