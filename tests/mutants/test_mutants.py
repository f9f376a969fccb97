"""The mutants do not rot: each applies to the code as it is, and leaves code that compiles.

That they are caught is for `make mutants` to show.
"""

import ast
import re
from collections.abc import Sequence

import pytest

from asyncnet.mailqueue.queries import Queries
from tests.mutants import __main__ as command
from tests.mutants import trial
from tests.mutants.mutant import BadPatch, Mutant, all_mutants, read_mutant
from tests.mutants.trial import REPOSITORY, Outcomes, copy_of_the_tree, run_tests

MUTANTS = all_mutants()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_applies_and_what_it_leaves_is_code(mutant: Mutant) -> None:
    for file, text in mutant.mutated(REPOSITORY).items():
        before = (REPOSITORY / file).read_text(encoding="utf-8")
        if file.endswith(".sql"):
            assert Queries(text).keys() == Queries(before).keys()
        else:
            assert ast.dump(ast.parse(text)) != ast.dump(ast.parse(before)), "no code is changed"


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_tests_that_are_to_catch_it_are_there(mutant: Mutant) -> None:
    for test in mutant.caught_by:
        file, _, name = test.partition("[")[0].partition("::")
        text = (REPOSITORY / file).read_text(encoding="utf-8")
        assert not name or re.search(rf"^(?:async )?def {re.escape(name)}\(", text, re.MULTILINE)


def test_each_protection_has_a_mutant_of_its_own() -> None:
    hunks = [mutant.hunks for mutant in MUTANTS]
    assert len(MUTANTS) >= 30
    assert len(set(hunks)) == len(hunks)


@pytest.mark.parametrize(
    ("patch", "why"),
    [
        ("Takes away: x\nBreaks: y\nCaught by: tests/z.py\n", "something is missing"),
        ("Takes away: x\nBreaks: y\n\n--- a.py\n@@\n-b\n", "something is missing"),
        ("Takes: x\n\n--- a.py\n@@\n-b\n", "not one of"),
        ("Takes away: x\nBreaks: y\nCaught by: z\n\n--- a.py\n@@\nb\n", "neither stays"),
        ("Takes away: x\nBreaks: y\nCaught by: z\n\n--- a.py\n@@\n b\n", "without effect"),
        ("Takes away: x\nBreaks: y\nCaught by: z\n\n--- a.py\n@@\n+b\n", "without a place"),
    ],
)
def test_a_patch_that_cannot_be_read_says_why(
    tmp_path_factory: pytest.TempPathFactory, patch: str, why: str
) -> None:
    path = tmp_path_factory.mktemp("patches") / "bad.patch"
    path.write_text(patch, encoding="utf-8")
    with pytest.raises(BadPatch, match=why):
        read_mutant(path)


OF_EVERY_KIND = """
import time
import pytest

@pytest.fixture
def broken():
    raise OSError

def test_that_passes(): pass
def test_that_fails(): assert False
def test_that_is_left_out(): pytest.skip()
def test_that_has_no_chance(broken): pass
def test_that_hangs(): time.sleep(60)
def test_behind_it(): pass
"""


def test_a_failure_is_told_from_all_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "TEST_S", 3.0)
    with copy_of_the_tree() as folder:
        (folder / "tests" / "test_kinds.py").write_text(OF_EVERY_KIND)
        (folder / "tests" / "test_not_there.py").write_text("import not_there")
        files = ["tests/test_kinds.py", "tests/test_not_there.py"]
        outcomes = run_tests(folder, [*files, "--continue-on-collection-errors"])
    kinds = "tests/test_kinds.py::test_that_"
    assert outcomes.passed == (f"{kinds}passes",)
    assert outcomes.failed == (f"{kinds}fails",)
    assert outcomes.left_out == (f"{kinds}is_left_out",)
    assert outcomes.errors == (f"{kinds}has_no_chance", "tests/test_not_there.py")
    assert outcomes.hung == f"{kinds}hangs"
    assert not outcomes.green


GREEN = Outcomes(("test_a",), (), (), (), None, 1.0, "")
RED = Outcomes((), ("test_a",), (), (), None, 1.0, "")


@pytest.mark.parametrize(
    ("before", "mutated", "code", "said"),
    [
        pytest.param(GREEN, RED, 0, "1 of 1 mutants were caught", id="caught"),
        pytest.param(GREEN, GREEN, 1, "survived: links-are-followed", id="survived"),
        pytest.param(
            GREEN,
            Outcomes((), (), ("test_a",), (), None, 1.0, ""),
            1,
            "NOT CAUGHT: error, no failure: test_a",
            id="an error proves nothing",
        ),
        pytest.param(
            GREEN,
            Outcomes((), (), (), (), "test_a", 1.0, ""),
            1,
            "NOT CAUGHT: hangs: test_a",
            id="hanging proves nothing",
        ),
        pytest.param(RED, RED, 1, "Without any mutant: test_a", id="red before"),
    ],
)
def test_only_a_test_that_is_green_before_and_fails_then_catches_a_mutant(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    before: Outcomes,
    mutated: Outcomes,
    code: int,
    said: str,
) -> None:
    def try_unmutated(tests: Sequence[str]) -> Outcomes:
        return before

    def try_mutant(mutant: Mutant, tests: Sequence[str]) -> Outcomes:
        return mutated

    monkeypatch.setattr(command, "try_unmutated", try_unmutated)
    monkeypatch.setattr(command, "try_mutant", try_mutant)
    chosen = [mutant for mutant in MUTANTS if mutant.name == "links-are-followed"]
    assert command.try_all(chosen, all_tests=False) == code
    assert said in capsys.readouterr().out
