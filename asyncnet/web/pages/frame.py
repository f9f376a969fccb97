"""The frame around every page: head, wordmark, links to the three pages, foot.

The policy of a page allows its own style sheet by hash and an empty icon, which spares the
browser a request for /favicon.ico, and nothing else: no script, no frame, no other host.
"""

import base64
import hashlib
from dataclasses import dataclass

from asyncnet.http1.response import STRICT_POLICY
from asyncnet.web.pages.style import BASE

_LINKS = (("/", "Home"), ("/page2", "Mail job"), ("/page3", "On the wire"))

_FRAME = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
<header class="top"><div class="wrap">
<a class="mark" href="/"><svg viewBox="0 0 32 32" aria-hidden="true">
<rect width="32" height="32" rx="9" fill="#0b2a33"/>
<path d="M8 12.5h14m-4-4 4 4-4 4" fill="none" stroke="#58cdd0" stroke-width="2.4"/>
<path d="M24 20.5H10m4-4-4 4 4 4" fill="none" stroke="#f3a15f" stroke-width="2.4"/>
</svg>asyncnet</a>
<nav aria-label="Pages">{links}</nav>
</div></header>
<main class="wrap">
{body}
</main>
<footer class="end"><div class="wrap">
<span>Text held in the program: no files, no scripts, no cookies.</span>
<span>One request for each connection.</span>
</div></footer>
</body>
</html>
"""


@dataclass(frozen=True, slots=True)
class Page:
    """A whole HTML document and the Content-Security-Policy that fits it."""

    text: str
    policy: str


def frame_page(title: str, body: str, *, style: str = "", path: str = "") -> Page:
    """The page that stands at path; without one, none of the links is marked as here."""
    sheet = "".join((BASE + style).splitlines())
    links = "".join(_link(target, name, path) for target, name in _LINKS)
    text = _FRAME.format(title=title, style=sheet, links=links, body=body.strip())
    digest = base64.b64encode(hashlib.sha256(sheet.encode("utf-8")).digest()).decode("ascii")
    return Page(text, f"{STRICT_POLICY}; style-src 'sha256-{digest}'; img-src data:")


def _link(target: str, name: str, path: str) -> str:
    here = ' aria-current="page"' if target == path else ""
    return f'<a href="{target}"{here}>{name}</a>'
