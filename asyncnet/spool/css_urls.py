"""The url() of style sheets, in a text that is there or in one that comes bit by bit.  No I/O.

Comments and @import are passed over (CSS Syntax Level 3, section 4.3).
"""

import re
from collections.abc import Callable, Iterator

_URL = re.compile(
    r"""/\*|@import|url\(\s*+(?:"([^"\n]*+)"|'([^'\n]*+)'|([^\s"'()]++))\s*+\)"""
    r"""|(/|@i?m?p?o?r?|u|ur|url|url\(\s*+(?:"[^"\n]*+(?:"\s*+)?|'[^'\n]*+(?:'\s*+)?"""
    r"""|[^\s"'()]*+\s*+))\Z""",
    re.IGNORECASE,
)


class CssUrls:
    """Finds the addresses of one style sheet.  longest: characters of a url() that counts."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._until = ""  # what ends the comment or @import under way

    def find(
        self, text: str, start: int, end: int, *, complete: bool
    ) -> Iterator[tuple[int, int, str] | int]:
        """Yield start, end and address of each url() in text[start:end].

        At last, how far the text is done with; the rest is wanted again, with more behind
        it.  complete tells that nothing comes behind it.
        """
        place = start
        while place < end:
            if self._until:
                place, found = self._skip(text, place, end, complete=complete)
                if not found:
                    break
                continue
            token = _URL.search(text, place, end)
            if token is None:
                place = end
            elif token[4] is not None:
                if not complete and end - token.start() < self._longest:
                    place = token.start()
                    break
                place = token.start() + 1
            elif not token.lastindex:
                self._until = "*/" if token[0] == "/*" else ";"
                place = token.end()
            elif token.end() - token.start() > self._longest:
                place = token.start() + 1
            else:
                yield token.start(), token.end(), token[token.lastindex]
                place = token.end()
        yield place

    def _skip(self, text: str, place: int, end: int, *, complete: bool) -> tuple[int, bool]:
        found = text.find(self._until, place, end)
        if found >= 0:
            # The ";" itself says nothing more; the "*/" must not be taken for half a "/*".
            found += len(self._until)
            self._until = ""
            return found, True
        if complete:
            return end, True
        return max(place, end - len(self._until) + 1), False


def replace_urls(css: str, new: Callable[[str], str | None]) -> str:
    """The style sheet with new(address) in the place of each address, where it gives one."""
    parts: list[str] = []
    at = 0
    for found in CssUrls(len(css)).find(css, 0, len(css), complete=True):
        if isinstance(found, tuple) and (address := new(found[2])) is not None:
            parts += (css[at : found[0]], f"url({address})")
            at = found[1]
    return "".join((*parts, css[at:]))
