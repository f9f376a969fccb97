"""How long the job reader takes at worst: `python -m tests.bench.job_reader [REPEATS]`.

Every file has at most 1 MiB and tries to be slow.  The promise is a second each; what is
printed is the best of the repeats, in processor time, worst file first.
"""

import sys
import time

from asyncnet.spool.errors import JobRefused
from asyncnet.spool.job import Job, JobKind, read_job
from tests.support.hostile_jobs import HOSTILE

LIMIT_S = 1.0


def judge(octets: bytes, kind: JobKind) -> Job | JobRefused:
    try:
        return read_job(octets, kind)
    except JobRefused as refused:
        return refused


def cpu_s(octets: bytes, kind: JobKind, repeats: int) -> float:
    """The least processor time that judging the file took."""
    best = float("inf")
    for _ in range(repeats):
        started = time.process_time()
        judge(octets, kind)
        best = min(best, time.process_time() - started)
    return best


def main() -> int:
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    rows = []
    for name, (kind, octets) in HOSTILE.items():
        outcome = judge(octets, kind)
        told = str(outcome.problems[0]) if isinstance(outcome, JobRefused) else "good"
        rows.append((cpu_s(octets, kind, repeats), name, len(octets), told))
    for seconds, name, size, told in sorted(rows, reverse=True):
        print(f"{seconds * 1000:7.0f} ms  {size:9,}  {name:40}  {told[:80]!r}")
    worst_s = max(rows)[0]
    print(f"{len(rows)} files, the worst in {worst_s * 1000:.0f} ms; allowed is a second")
    return int(worst_s > LIMIT_S)


if __name__ == "__main__":
    sys.exit(main())
