"""The JSON Schema of a job (draft 2020-12), so that editors complete and check it.  No I/O."""

from typing import Any

from asyncnet.spool.job_keys import KEYS

# Editors read YAML with a loader: what we take as the text "42" or "no" is a number or a
# boolean to them.
_TEXT = {"type": ["string", "number", "boolean"]}
_PATH = {"type": "string", "minLength": 1}
_FILE_KEYS = {
    "name": {**_TEXT, "description": "The file name that the reader sees."},
    "type": {
        "type": "string",
        "pattern": "^[^/ ;]+/[^/ ;]+$",
        "description": "The media type; by default by the name.",
        "examples": ["application/pdf"],
    },
}


def _file(**sources: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {**sources, **_FILE_KEYS},
        "required": list(sources) if "path" in sources else [*sources, "name"],
        "additionalProperties": False,
    }


def job_schema() -> dict[str, Any]:
    """The schema as a value that json.dumps takes."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "asyncnet mail job",
        "type": "object",
        "properties": {
            name: {"description": key.about, **key.schema, "examples": list(key.examples)}
            for name, key in KEYS.items()
        },
        "additionalProperties": False,
        "required": ["from"],
        "allOf": [
            {"anyOf": [{"required": [key]} for key in ("to", "cc", "bcc")]},
            {
                "anyOf": [
                    {"required": [key]}
                    for key in ("text", "text_file", "html", "html_file", "calendar", "attachments")
                ]
            },
            *(
                {"not": {"required": list(pair)}}
                for pair in (("account", "server"), ("text", "text_file"), ("html", "html_file"))
            ),
        ],
        "dependentRequired": {"tls": ["server"]},
        "$defs": {
            "text": _TEXT,
            "path": _PATH,
            "address": {
                "anyOf": [
                    {"type": "string", "minLength": 3},
                    {
                        "type": "object",
                        "properties": {"name": _TEXT, "addr": {"type": "string"}},
                        "required": ["addr"],
                        "additionalProperties": False,
                    },
                ]
            },
            "file": _file(path=_PATH),
            "calendar": {
                "type": "object",
                "properties": {
                    "method": {
                        "type": "string",
                        "pattern": "^[A-Za-z]{1,40}$",
                        "description": "What the invitation asks for (RFC 5546).",
                        "default": "REQUEST",
                        "examples": ["REQUEST", "CANCEL"],
                    },
                    "path": _PATH,
                },
                "required": ["path"],
                "additionalProperties": False,
            },
            "attachment": {
                "anyOf": [
                    _PATH,
                    _file(path=_PATH),
                    _file(text=_TEXT),
                    _file(base64={"type": "string"}),
                ]
            },
        },
    }
