"""Random mutation of seeds: a target takes them, raises its own errors, or has a bug.

No coverage is measured, which keeps it free of any tool; the seeds carry the knowledge of what
is interesting.  A run is fixed by its --seed.
"""

import argparse
import random
import sys
import time
import traceback
from collections.abc import Callable, Sequence

MAX_OCTETS = 20_000  # of a mutated input
SLOW_S = 1.0  # on any machine: an input this slow is a finding
REPORT_EVERY_S = 10.0

Target = Callable[[bytes], None]
Mutation = Callable[[random.Random, bytes, Sequence[bytes]], bytes]

# What every reader of text trips over, whatever its format.
TOKENS = [
    *(b"\r\n", b"\n", b"\r", b"\0", b"\t", b"\x1b", b"\x7f", b" ", b"  ", b'"', b"'", b"\\"),
    *(b"<", b">", b"@", b",", b":", b";", b"(", b")", b"[", b"]", b"{", b"}", b"#", b"%", b"&"),
    *(b"=?utf-8?q?", b"?=", b"=", b"--", b".", b"..", b"../", b"=_", b"- ", b"? ", b"*", b"!"),
    *(b"\xef\xbb\xbf", b"\xff\xfe", b"\xed\xa0\x80", b"\xc2\x85", b"\xe2\x80\xa8", b"\xff"),
    *("é".encode(), "你".encode(), "\u202e".encode(), "👩‍👦".encode(), "\ufffe".encode()),
    *(b"0", b"-1", b"1e999", b"9" * 30, b"true", b"null", b"NaN"),
]


def _flip(rng: random.Random, octets: bytes, _: Sequence[bytes]) -> bytes:
    changed = bytearray(octets or b"\0")
    changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _random_octet(rng: random.Random, octets: bytes, _: Sequence[bytes]) -> bytes:
    place = rng.randint(0, len(octets))
    return octets[:place] + bytes([rng.randrange(256)]) + octets[place + rng.randint(0, 1) :]


def _token(rng: random.Random, octets: bytes, _: Sequence[bytes]) -> bytes:
    place = rng.randint(0, len(octets))
    return octets[:place] + rng.choice(TOKENS) * rng.choice((1, 1, 1, 2, 80)) + octets[place:]


def _character(rng: random.Random, octets: bytes, _: Sequence[bytes]) -> bytes:
    place = rng.randint(0, len(octets))
    character = chr(rng.choice((rng.randrange(0x300), rng.randrange(0x110000))))
    return octets[:place] + character.encode("utf-8", "surrogatepass") + octets[place:]


def _delete(rng: random.Random, octets: bytes, _: Sequence[bytes]) -> bytes:
    start, end = sorted(rng.randint(0, len(octets)) for _ in range(2))
    return octets[:start] + octets[end:]


def _repeat(rng: random.Random, octets: bytes, _: Sequence[bytes]) -> bytes:
    start, end = sorted(rng.randint(0, len(octets)) for _ in range(2))
    return octets[:end] + octets[start:end] * rng.choice((1, 1, 2, 10, 100)) + octets[end:]


def _splice(rng: random.Random, octets: bytes, seeds: Sequence[bytes]) -> bytes:
    other = rng.choice(seeds)
    return octets[: rng.randint(0, len(octets))] + other[rng.randint(0, len(other)) :]


MUTATIONS: list[Mutation] = [
    _flip,
    _random_octet,
    _token,
    _token,
    _character,
    _delete,
    _repeat,
    _splice,
]


def mutated(rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    octets = rng.choice(seeds)
    for _ in range(rng.choice((0, 1, 1, 2, 3, 5, 8))):
        octets = rng.choice(MUTATIONS)(rng, octets, seeds)[:MAX_OCTETS]
    return octets


def fuzz(target: Target, seeds: Sequence[bytes], seconds: float, seed: int) -> bytes | None:
    """The first input on which target raises or is slow; None where there was none in seconds."""
    rng = random.Random(seed)
    begun = reported = time.monotonic()
    executions = 0
    try:
        while (now := time.monotonic()) - begun < seconds:
            if now - reported >= REPORT_EVERY_S:
                reported = now
                print(f"{now - begun:.0f} s: {executions / (now - begun):,.0f}/s", flush=True)
            octets = mutated(rng, seeds)
            executions += 1
            try:
                target(octets)
            except Exception:
                traceback.print_exc()
                return octets
            if (took_s := time.monotonic() - now) > SLOW_S:
                print(f"slow: {took_s:.1f} s")
                return octets
        return None
    finally:
        took_s = time.monotonic() - begun
        print(f"{executions:,} executions, {executions / max(took_s, 0.001):,.0f}/s, seed {seed}")


def main(target: Target, seeds: Sequence[bytes]) -> None:
    """A target's command line: --seconds (60) and --seed.  Exit code 1 on a finding.

    target catches the errors that it may raise, and lets every other one out.
    """
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    options = parser.parse_args()
    found = fuzz(target, seeds, options.seconds, options.seed)
    if found is not None:
        print(f"found by input {found!r}")
        sys.exit(1)
    print("nothing found")
