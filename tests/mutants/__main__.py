"""Take the product's protections away, one at a time: the tests must notice every one.

    python -m tests.mutants [NAME…] [--list] [--all-tests]

First the tests that are to catch the mutants run against the tree as it is, and must be green;
then those of each mutant run against a copy with its patch, and one must fail.  Ends with 1 and
the names of the survivors where none did.
"""

import argparse
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from tests.mutants.mutant import BadPatch, Mutant, all_mutants
from tests.mutants.trial import Outcomes, try_mutant, try_unmutated

AT_A_TIME = 2
ALL_TESTS = ("tests",)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--list", action="store_true", help="say what there is, and try nothing")
    parser.add_argument("--all-tests", action="store_true", help="run the whole suite at each")
    given = parser.parse_args()
    try:
        known = {mutant.name: mutant for mutant in all_mutants()}
    except BadPatch as error:
        sys.exit(str(error))
    if unknown := set(given.names) - known.keys():
        parser.error(f"no such mutant: {', '.join(sorted(unknown))}")
    chosen = [known[name] for name in given.names] or list(known.values())
    if given.list:
        for mutant in chosen:
            print(f"{mutant.name}\n    takes away  {mutant.takes_away}")
            print(f"    breaks      {mutant.breaks}")
        return 0
    return try_all(chosen, all_tests=given.all_tests)


def try_all(mutants: Sequence[Mutant], *, all_tests: bool) -> int:
    """The exit code."""
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        tests = {test for mutant in mutants for test in mutant.caught_by}
        for outcomes in pool.map(try_unmutated, [ALL_TESTS] if all_tests else _shares(tests)):
            if not outcomes.green:
                print(f"Without any mutant: {outcomes}\n{outcomes.said}")
                return 1
            print(f"Without any mutant: {outcomes}, {outcomes.seconds:.0f} s", flush=True)
        width = max(len(mutant.name) for mutant in mutants)
        print(f"\n{'mutant':{width}}  seconds  caught by", flush=True)
        tried = pool.map(lambda mutant: _try(mutant, all_tests=all_tests), mutants)
        survivors = []
        for mutant, verdict in zip(mutants, tried, strict=True):
            if isinstance(verdict, Outcomes) and verdict.failed:
                print(f"{mutant.name:{width}}  {verdict.seconds:7.1f}  {verdict}", flush=True)
                continue
            survivors.append(mutant)
            print(f"{mutant.name:{width}}        -  NOT CAUGHT: {verdict}", flush=True)
            if isinstance(verdict, Outcomes) and (verdict.errors or verdict.hung):
                print(verdict.said)
    print(f"\n{len(mutants) - len(survivors)} of {len(mutants)} mutants were caught.")
    for mutant in survivors:
        print(f"survived: {mutant.name}: {mutant.takes_away} {mutant.breaks}")
    return 1 if survivors else 0


def _try(mutant: Mutant, *, all_tests: bool) -> Outcomes | BadPatch:
    try:
        return try_mutant(mutant, ALL_TESTS if all_tests else mutant.caught_by)
    except BadPatch as error:
        return error


def _shares(tests: Iterable[str]) -> list[list[str]]:
    """The tests in AT_A_TIME shares, each file whole in one."""
    files: dict[str, list[str]] = {}
    for test in sorted(tests):
        files.setdefault(test.partition("::")[0], []).append(test)
    shares: list[list[str]] = [[] for _ in range(AT_A_TIME)]
    for number, its_tests in enumerate(files.values()):
        shares[number % AT_A_TIME] += its_tests
    return [share for share in shares if share]


if __name__ == "__main__":
    sys.exit(main())
