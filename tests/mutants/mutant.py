"""One protection taken away: what it is, what breaks without it, and the patch that does it.

A mutant is a file patches/NAME.patch: three kinds of lines about it, then the patch.

    Takes away: what the product does no more.
    Breaks: the promise that does not hold then.
    Caught by: a test file or one test of it (a line for each).

    --- asyncnet/spool/filing.py
    @@
     a line that stays
    -a line that goes
    +a line that comes

A hunk (behind each @@) has no line numbers: its lines that stay and go must stand together in the
file exactly once, so that it applies wherever they have moved to, and to nothing else.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PATCHES = Path(__file__).parent / "patches"

_SAID = ("Takes away", "Breaks", "Caught by")


class BadPatch(Exception):
    """A patch that cannot be read, or that does not apply (any more); str() says why."""


@dataclass(frozen=True, slots=True)
class Hunk:
    """old and new are whole lines with their ends."""

    file: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Mutant:
    """caught_by are pytest's node ids of whole files or single tests."""

    name: str
    takes_away: str
    breaks: str
    caught_by: tuple[str, ...]
    hunks: tuple[Hunk, ...]

    def mutated(self, root: Path) -> dict[str, str]:
        """The text of each file below root that it changes, mutated; nothing is written.

        Raises BadPatch.
        """
        texts: dict[str, str] = {}
        for hunk in self.hunks:
            path = root / hunk.file
            if not path.is_file():
                raise BadPatch(f"{self.name}: there is no {hunk.file}")
            text = texts.get(hunk.file) or path.read_text(encoding="utf-8")
            lines = f"\n{text}"
            found = lines.count(f"\n{hunk.old}")
            if found != 1:
                raise BadPatch(
                    f"{self.name}.patch: its lines stand {found} times in {hunk.file}; has the"
                    f" code moved on? Then the patch must follow.\n{hunk.old}"
                )
            texts[hunk.file] = lines.replace(f"\n{hunk.old}", f"\n{hunk.new}")[1:]
        return texts

    def apply(self, root: Path) -> None:
        """Mutate the files below root.  Raises BadPatch, with nothing changed then."""
        for file, text in self.mutated(root).items():
            (root / file).write_text(text, encoding="utf-8")


def all_mutants() -> list[Mutant]:
    """All of them, by name.  Raises BadPatch."""
    return [read_mutant(path) for path in sorted(PATCHES.glob("*.patch"))]


def read_mutant(path: Path) -> Mutant:
    """Raises BadPatch."""
    about, rule, patch = path.read_text(encoding="utf-8").partition("\n--- ")
    said: dict[str, list[str]] = {key: [] for key in _SAID}
    for line in filter(None, about.splitlines()):
        key, colon, words = line.partition(": ")
        if not colon or key not in said:
            raise BadPatch(f"{path.name}: not one of {', '.join(_SAID)}: {line!r}")
        said[key].append(words)
    hunks = tuple(_hunks(path.name, rule.lstrip("\n") + patch))
    if not hunks or not all(said.values()):
        raise BadPatch(f"{path.name}: something is missing")
    takes_away, breaks, caught_by = said.values()
    return Mutant(path.stem, " ".join(takes_away), " ".join(breaks), tuple(caught_by), hunks)


def _hunks(name: str, patch: str) -> Iterator[Hunk]:
    file = ""
    old: list[str] = []
    new: list[str] = []
    # A line that ends the last hunk, too.
    for line in [*patch.splitlines(), "@@"]:
        if line.startswith(("--- ", "@@")):
            if old or new:
                yield _hunk(name, file, old, new)
            old, new = [], []
            if line != "@@":
                file = line.removeprefix("--- ")
            continue
        sign, text = line[:1], f"{line[1:]}\n"
        if sign not in ("", " ", "-", "+"):
            raise BadPatch(f"{name}: neither stays, goes nor comes: {line!r}")
        if sign != "+":
            old.append(text)
        if sign != "-":
            new.append(text)


def _hunk(name: str, file: str, old: list[str], new: list[str]) -> Hunk:
    if not file or not old or old == new:
        raise BadPatch(f"{name}: a hunk without file, without a place or without effect")
    return Hunk(file, "".join(old), "".join(new))
