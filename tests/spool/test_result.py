"""The result file holds what the record says, laid out as the standard library would."""

import json
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from asyncnet.mail.problem import Problem
from asyncnet.mail.verdict import JobStatus, Kind, Phase, RecipientStatus, Verdict
from asyncnet.mailqueue.store import Claim, RecipientRecord, Record
from asyncnet.spool.result import result_document, result_octets

MAY_BE_TEXT = st.none() | st.text()
MAY_BE_NUMBER = st.none() | st.integers()
TIMES = st.floats(0, 4_000_000_000) | st.integers(0, 10**12).map(lambda ms: ms / 1000)
META = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
VERDICTS = st.builds(
    Verdict,
    st.sampled_from(RecipientStatus),
    MAY_BE_NUMBER,
    MAY_BE_TEXT,
    st.none() | st.sampled_from(Phase),
    st.none() | st.sampled_from(Kind),
    st.text(),
    MAY_BE_TEXT,
)
RECORDS = st.builds(
    Record,
    claim=st.builds(Claim, st.text(), st.text(), st.text(), TIMES),
    status=st.sampled_from(JobStatus),
    job_id=MAY_BE_TEXT,
    account=MAY_BE_TEXT,
    server=MAY_BE_TEXT,
    tls=st.none() | st.just({"version": "TLSv1.3", "verified": True}),
    message_id=MAY_BE_TEXT,
    envelope_from=MAY_BE_TEXT,
    size_octets=MAY_BE_NUMBER,
    priority=st.integers(),
    attempts=st.integers(),
    due_at=st.none(),
    expires_at=st.none(),
    finished_at=st.none() | TIMES,
    recipients=st.lists(st.builds(RecipientRecord, st.text(), VERDICTS, st.booleans())).map(tuple),
    errors=st.lists(
        st.builds(Problem, st.text(), st.text(), MAY_BE_TEXT, MAY_BE_NUMBER, MAY_BE_NUMBER)
    ).map(tuple),
    warnings=st.lists(st.text()).map(tuple),
    meta=st.dictionaries(st.text(), META),
)


def moment(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def said(record: Record) -> dict[str, object]:
    """The README's fields, in its order."""
    return {
        "schema": 1,
        "name": record.claim.name,
        "id": record.job_id,
        "queue_id": record.claim.queue_id,
        "status": record.status,
        "account": record.account,
        "server": record.server,
        "tls": record.tls,
        "message_id": record.message_id,
        "size_octets": record.size_octets,
        "attempts": record.attempts,
        "claimed_at": moment(record.claim.claimed_at),
        "finished_at": moment(record.finished_at),
        "recipients": [
            {
                "address": it.address,
                "status": it.verdict.status,
                "code": it.verdict.code,
                "enhanced": it.verdict.enhanced,
                "phase": it.verdict.phase,
                "class": it.verdict.kind,
                "text": it.verdict.text,
                "hint": it.verdict.hint,
                "possible_duplicate": it.possible_duplicate,
            }
            for it in record.recipients
        ],
        "errors": [
            {
                "field": it.field,
                "line": it.line,
                "column": it.column,
                "problem": it.problem,
                "suggestion": it.suggestion,
            }
            for it in record.errors
        ],
        "warnings": list(record.warnings),
        "meta": record.meta,
    }


def laid_out(document: dict[str, object]) -> bytes:
    return json.dumps(document, ensure_ascii=False, indent=2).encode() + b"\n"


@given(record=RECORDS)
def test_a_result_holds_what_the_record_says(record: Record) -> None:
    assert result_octets(record) == laid_out(said(record))
    assert result_document(record) == said(record)


@given(record=RECORDS, letter=st.text())
def test_the_letter_stands_behind_all_else(record: Record, letter: str) -> None:
    document = {**said(record), "letter_sha256": letter}
    assert result_octets(record, letter=letter) == laid_out(document)
