"""A text on its way through a scanner: a window on it, with its long data runs left out.  No I/O.

Exported newsletters hold images as data: URLs, megabytes without a blank or a mark in between.
Nothing that a scanner of HTML or CSS looks for can begin or end within such a run, so only its
two ends come into the window, with MARK for the rest; places are told in the whole text.
"""

import re
from collections.abc import Callable

MARK = "\uffff"  # a noncharacter: no file name, no address
KEPT_CHARACTERS = 256  # of either end of a run; no keyword and no file name is longer

_RUN_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/%_.,~-"
_RUN = re.compile(r"[A-Za-z0-9+/%_.,~-]+")
# All that comes before a long run, or before MARK itself: each that stands in the window is to
# stand for something.
_SHORT_RUNS = re.compile(
    rf"(?:[^A-Za-z0-9+/%_.,~{MARK}-]++"
    rf"|[A-Za-z0-9+/%_.,~-]{{1,{2 * KEPT_CHARACTERS}}}+(?![A-Za-z0-9+/%_.,~-]))*+"
)


def characters(text: str) -> int:
    return len(text)


def utf8_octets(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _end(pattern: re.Pattern[str], text: str, start: int) -> int:
    found = pattern.match(text, start)
    return found.end() if found else start


class Window:
    """What was received and not dropped.  Offsets are counted from the text's beginning by size,
    which is characters or utf8_octets.
    """

    def __init__(self, size: Callable[[str], int]) -> None:
        self.text = ""
        self.offset = 0  # of the window's first character
        self._size = size
        self._marks: list[tuple[int, int]] = []  # place of each MARK, size of what it stands for
        self._run = ""  # a run that may go on
        self._left_out = 0  # how many characters in its middle are no more

    def receive(self, text: str) -> None:
        if self._left_out:
            end = _end(_RUN, text, 0)
            self._lengthen(text[:end])
            if end == len(text):
                return
            self.end_run()
            text = text[end:]
        text = self._run + text
        before = text.rstrip(_RUN_CHARACTERS)
        self._run = ""
        self._append(before)
        self._lengthen(text[len(before) :])

    def end_run(self) -> None:
        """Let the run under way into the window: the text is over."""
        run, left_out = self._run, self._left_out
        self._run, self._left_out = "", 0
        if left_out:
            self._marks.append((len(self.text) + KEPT_CHARACTERS, left_out))
            run = run[:KEPT_CHARACTERS] + MARK + run[KEPT_CHARACTERS:]
        self.text += run

    def _lengthen(self, run: str) -> None:
        run = self._run + run
        more = len(run) - 2 * KEPT_CHARACTERS
        if more > 0:
            self._left_out += more
            run = run[:KEPT_CHARACTERS] + run[-KEPT_CHARACTERS:]
        self._run = run

    def _append(self, text: str) -> None:
        parts: list[str] = [self.text]
        at, place = 0, len(self.text)
        while (start := _end(_SHORT_RUNS, text, at)) < len(text):
            if text[start] == MARK:
                end = start + len(MARK)
            else:
                end = _end(_RUN, text, start) - KEPT_CHARACTERS
                start += KEPT_CHARACTERS
            parts += (text[at:start], MARK)
            place += start - at
            self._marks.append((place, self._size(text[start:end])))
            place += len(MARK)
            at = end
        self.text = "".join((*parts, text[at:]))

    def marks(self, start: int, end: int) -> list[int]:
        """The places from start to end in the window where something was left out."""
        return [place for place, _ in self._marks if start <= place < end]

    def size(self, start: int, end: int) -> int:
        """How large the text between two places of the window really is."""
        size = 0
        for place, left_out in self._marks:
            if start <= place < end:
                size += self._size(self.text[start:place]) + left_out
                start = place + len(MARK)
        return size + self._size(self.text[start:end])

    def drop(self, end: int) -> None:
        """Forget the window's text before end."""
        self.offset += self.size(0, end)
        self.text = self.text[end:]
        self._marks = [(place - end, size) for place, size in self._marks if place >= end]
