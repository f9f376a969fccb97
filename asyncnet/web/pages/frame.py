"""The frame around every page: head, wordmark, links to the three pages, foot.

The policy of a page allows its own style sheet by hash and an empty icon, which spares the
browser a request for /favicon.ico, and nothing else: no frame, no other host, and no script but
one of its own, by hash as well.
"""

import base64
import hashlib
from dataclasses import dataclass

from asyncnet.http1.response import STRICT_POLICY
from asyncnet.web.pages.style import BASE


@dataclass(frozen=True, slots=True)
class Site:
    """What the pages of one listener share: where the wordmark and the links lead, the foot."""

    home: str
    links: tuple[tuple[str, str], ...]
    foot: tuple[str, str]


THREE_PAGES = Site(
    home="/",
    links=(("/", "Home"), ("/page2", "Mail job"), ("/page3", "On the wire")),
    foot=(
        "Text held in the program: no files, no scripts, no cookies.",
        "One request for each connection.",
    ),
)

_FRAME = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<style>{style}</style>{head}
</head>
<body>
<header class="top"><div class="wrap">
<a class="mark" href="{home}"><svg viewBox="0 0 32 32" aria-hidden="true">
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
<span>{foot[0]}</span>
<span>{foot[1]}</span>
</div></footer>{script}
</body>
</html>
"""


@dataclass(frozen=True, slots=True)
class Page:
    """A whole HTML document and the Content-Security-Policy that fits it."""

    text: str
    policy: str


def frame_page(
    title: str,
    body: str,
    *,
    style: str = "",
    path: str = "",
    site: Site = THREE_PAGES,
    head: str = "",
    script: str = "",
) -> Page:
    """The page that stands at path; without one, none of the links is marked as here.

    head is more for the head.  A script may ask this listener, and no other, for more.
    """
    sheet = "".join((BASE + style).splitlines())
    text = _FRAME.format(
        title=title,
        style=sheet,
        head=head,
        home=site.home,
        links="".join(_link(target, name, path) for target, name in site.links),
        body=body.strip(),
        foot=site.foot,
        script=f"\n<script>{script}</script>" if script else "",
    )
    policy = f"{STRICT_POLICY}; style-src {_hash(sheet)}; img-src data:"
    if script:
        policy += f"; script-src {_hash(script)}; connect-src 'self'"
    return Page(text, policy)


def _hash(inline: str) -> str:
    digest = base64.b64encode(hashlib.sha256(inline.encode("utf-8")).digest()).decode("ascii")
    return f"'sha256-{digest}'"


def _link(target: str, name: str, path: str) -> str:
    here = ' aria-current="page"' if target == path else ""
    return f'<a href="{target}"{here}>{name}</a>'
