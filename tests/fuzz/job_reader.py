"""Fuzzes the job reader: any octets are a Job or refused with problems fit to be shown.

`python -m tests.fuzz.job_reader [--seconds N]`; each input is read as YAML and as JSON.
"""

from pathlib import Path

from asyncnet.spool.errors import JobRefused
from asyncnet.spool.job import Job, JobKind, MistakenJob, read_job
from tests.fuzz import engine
from tests.support.bad_jobs import BAD_JOBS, BASE

EXAMPLES = Path(__file__).parents[2] / "config" / "jobs"

SEEDS = [
    *(path.read_bytes() for path in sorted(EXAMPLES.rglob("*.yaml"))),
    *(bad.octets for bad in BAD_JOBS if len(bad.octets) <= engine.MAX_OCTETS),
    BASE + b"calendar: {method: CANCEL, path: a.ics}\nheaders: {X-A: [b, c]}\nmeta: {a: [1, ~]}\n",
    b'{"from": {"name": "A", "addr": "a@b.test"}, "to": ["c@d.test"], "html": "\\ud83d\\ude00",'
    b' "attachments": [{"base64": "AA==", "name": "x"}], "meta": {"n": [1, -0.5e9, true, null]}}',
]
KINDS: tuple[JobKind, ...] = ("yaml", "json")


def read(octets: bytes) -> None:
    for kind in KINDS:
        try:
            job = read_job(octets, kind)
        except JobRefused as refused:
            check(refused, octets.count(b"\n") + octets.count(b"\r") + 1)
        else:
            assert isinstance(job, Job)
            assert job.to or job.cc or job.bcc


def check(refused: JobRefused, lines: int) -> None:
    assert refused.problems
    for problem in refused.problems:
        assert str(problem).isprintable()
        assert problem.line is None or 1 <= problem.line <= lines
        assert problem.column is None or problem.column >= 1
    if isinstance(refused, MistakenJob):
        assert isinstance(refused.rest, Job)


if __name__ == "__main__":
    engine.main(read, SEEDS)
