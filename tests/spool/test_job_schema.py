"""The JSON Schema and the reader agree, since they come from one table."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from asyncnet.spool.errors import JobRefused
from asyncnet.spool.job import Job, read_job
from asyncnet.spool.job_keys import KEYS, SYNONYMS
from asyncnet.spool.job_schema import job_schema
from tests.support.schema_check import complies

# What a key needs beside it, or excludes, to be a whole job.
COMPANIONS: dict[str, dict[str, object]] = {"tls": {"server": "smtp.example.org"}}
INSTEAD = {"text_file": "text", "html_file": "html"}


def test_every_key_is_described_for_editors() -> None:
    schema = job_schema()
    assert set(schema["properties"]) == set(KEYS)
    for key in schema["properties"].values():
        assert key["description"]
        assert key["examples"]
    assert json.loads(json.dumps(schema)) == schema


def test_every_example_is_a_good_value() -> None:
    for name, key in KEYS.items():
        for example in key.examples:
            job = {"from": "a@example.org", "to": "b@example.org", "text": "x"}
            job.pop(INSTEAD.get(name, ""), None)
            document = {**job, **COMPANIONS.get(name, {}), name: example}
            try:
                read_job(json.dumps(document).encode(), "json")
            except JobRefused as refused:
                raise AssertionError(f"{name}: {refused}") from refused


def test_every_reference_leads_somewhere() -> None:
    schema = job_schema()
    references = {part.split('"')[0] for part in json.dumps(schema).split("#/$defs/")[1:]}
    assert references == set(schema["$defs"])


def test_job_and_table_name_the_same_keys() -> None:
    names = {field.name.rstrip("_") for field in fields(Job)} - {"places"}
    assert names | {"tls"} == set(KEYS)
    assert set(SYNONYMS.values()) <= set(KEYS)


# The same verdict from the schema and from the reader.

SCHEMA = job_schema()
JOB: dict[str, Any] = {"from": "a@example.org", "to": "b@example.org", "text": "x"}


def by_reader(document: object) -> bool:
    try:
        read_job(json.dumps(document).encode(), "json")
    except JobRefused:
        return False
    return True


def by_schema(document: object) -> bool:
    return complies(document, SCHEMA, SCHEMA)


def without(*keys: str) -> dict[str, Any]:
    return {key: value for key, value in JOB.items() if key not in keys}


@pytest.mark.parametrize(
    "document",
    [
        JOB,
        {**JOB, "subject": 42},
        {**JOB, "id": 42},
        {**JOB, "id": "x" * 128},
        {**JOB, "from": {"addr": "a@example.org"}},
        {**JOB, "to": [{"name": "B", "addr": "b@example.org"}, "c@example.org"]},
        {**without("to"), "cc": "b@example.org"},
        {**without("to"), "bcc": ["b@example.org"]},
        {**JOB, "envelope_from": ""},
        *({**without("text"), key: "a"} for key in ("text_file", "html", "html_file")),
        {**without("text"), "calendar": "a.ics"},
        {**JOB, "calendar": {"path": "a.ics"}},
        {**JOB, "calendar": {"method": "cancel", "path": "a.ics"}},
        {**without("text"), "attachments": "a.pdf"},
        {**JOB, "attachments": {"path": "a.pdf", "name": "b", "type": "a/b"}},
        {**JOB, "attachments": [{"text": "x", "name": 1}, {"base64": "AA==", "name": "a"}]},
        {**JOB, "inline": {"a": "a.png", "b": {"path": "b.png"}}},
        {**JOB, "headers": {"X-A": "b", "X-B": ["c", 1]}},
        {**JOB, "server": "mx.test", "tls": "none"},
        *({**JOB, "on_doubt": word} for word in ("retry", "hold", "fail")),
        *({**JOB, "priority": word} for word in ("high", "normal", "low")),
        *({**JOB, "server": "a", "tls": word} for word in ("none", "starttls", "implicit")),
        {**JOB, "require_tls": False, "meta": {"a": [None, {"b": 1}]}},
    ],
)
def test_what_the_reader_takes_the_schema_takes(document: dict[str, Any]) -> None:
    assert by_reader(document)
    assert by_schema(document)


@pytest.mark.parametrize(
    "document",
    [
        without("from"),
        without("to"),
        without("text"),
        [],
        {**JOB, "subjct": "x"},
        {**JOB, "subject": ["x"]},
        {**JOB, "id": "x" * 129},
        {**JOB, "id": "a b"},
        {**JOB, "from": {"name": "A"}},
        {**JOB, "from": {"addr": "a@example.org", "mail": "x"}},
        {**JOB, "to": 5},
        {**JOB, "text_file": "a"},
        {**JOB, "html": "a", "html_file": "a"},
        {**JOB, "account": "a", "server": "b"},
        {**JOB, "tls": "none"},
        {**JOB, "tls": "yes", "server": "mx.test"},
        {**JOB, "on_doubt": "never"},
        {**JOB, "priority": "urgent"},
        {**JOB, "require_tls": "maybe"},
        {**JOB, "meta": "x"},
        {**JOB, "headers": "X"},
        {**JOB, "headers": {"X Y": "b"}},
        {**JOB, "headers": {"X" * 77: "b"}},
        {**JOB, "inline": {"a b": "a.png"}},
        {**JOB, "inline": {"a": {"text": "x", "name": "a"}}},
        {**JOB, "calendar": {"method": "CANCEL"}},
        {**JOB, "calendar": {"method": "a b", "path": "a.ics"}},
        {**JOB, "text_file": ""},
        {**JOB, "attachments": ""},
        {**JOB, "attachments": {"text": "x"}},
        {**JOB, "attachments": {"base64": "AA=="}},
        {**JOB, "attachments": {"path": "a", "text": "x", "name": "a"}},
        {**JOB, "attachments": {"path": "a", "size": 1}},
        {**JOB, "attachments": {"path": "a", "type": "pdf"}},
    ],
)
def test_what_the_schema_refuses_the_reader_refuses(document: dict[str, Any]) -> None:
    assert not by_schema(document)
    assert not by_reader(document)


def test_the_examples_that_we_ship_comply() -> None:
    jobs = sorted((Path(__file__).parents[2] / "config" / "jobs").glob("**/*.yaml"))
    assert len(jobs) > 3
    for path in jobs:
        assert by_schema(yaml.safe_load(path.read_text(encoding="utf-8"))), path
