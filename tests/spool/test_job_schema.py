"""The JSON Schema and the reader agree, since they come from one table."""

import json
from dataclasses import fields

from asyncnet.spool.errors import JobRefused
from asyncnet.spool.job import Job, read_job
from asyncnet.spool.job_keys import KEYS, SYNONYMS
from asyncnet.spool.job_schema import job_schema

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
