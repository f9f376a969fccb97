"""The queue page: the document of /queue.json, for people.

Written anew for each request, and whole without a script.  The script puts what has changed into
the page that is open, so that one text, escaped in one place, is both.  Names, replies and
addresses come from outside: _said() is the only way in for them.
"""

import html
from datetime import UTC, datetime
from typing import Any

from asyncnet.web.ops.page_style import STYLE
from asyncnet.web.pages.frame import Page, Site, frame_page

OPERATORS = Site(
    home="/queue",
    links=(
        ("/queue", "Queue"),
        ("/queue.json", "JSON"),
        ("/metrics", "Metrics"),
        ("/healthz", "Health"),
    ),
    foot=("Looks only: nothing here changes anything.", "Times are UTC."),
)

MAX_SAID = 300  # characters of one outside text; the JSON has them all

# Parts that have not changed stay as they are, with what somebody has marked in them.
SCRIPT = """
async function look() {
  const answer = await fetch("/queue", {cache: "no-store", signal: AbortSignal.timeout(8000)});
  if (!answer.ok) throw new Error(answer.statusText);
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = [...page.querySelector("main").children];
  const main = document.querySelector("main"), old = [...main.children];
  if (fresh.length !== old.length) main.replaceChildren(...fresh);
  else fresh.forEach((part, i) => part.isEqualNode(old[i]) || old[i].replaceWith(part));
}
async function again() {
  if (!document.hidden) {
    try { await look(); document.body.classList.remove("away"); }
    catch { document.body.classList.add("away"); }
  }
  setTimeout(again, 2000);
}
setTimeout(again, 2000);
""".strip()

_WITHOUT_SCRIPT = '\n<noscript><meta http-equiv="refresh" content="10"></noscript>'
_SLOT = "\x01"  # a control stands nowhere else in a page

_STATES = {  # of accounts and jobs: the colour, by what it means
    **dict.fromkeys(("ok", "sent", "ready"), "ok"),
    **dict.fromkeys(("throttled", "partial", "canceled", "duplicate", "in_doubt"), "warn"),
}

Document = dict[str, Any]


class QueuePage:
    """Fills the frame, which is made once."""

    def __init__(self) -> None:
        page = frame_page(
            "Queue \N{EM DASH} asyncnet",
            _SLOT,
            style=STYLE,
            path="/queue",
            site=OPERATORS,
            head=_WITHOUT_SCRIPT,
            script=SCRIPT,
        )
        self.policy = page.policy
        self._before, self._after = page.text.split(_SLOT)

    def render(self, document: Document) -> Page:
        """The page that shows the document (see document.describe)."""
        body = "\n".join((_summary(document), _accounts(document), _results(document)))
        return Page(f"{self._before}{body}{self._after}", self.policy)


def _summary(document: Document) -> str:
    ready = _pill("ready") if document["ready"] else _pill("not ready")
    reasons = "".join(f"<li>{_said(reason)}</li>" for reason in document["reasons"])
    return f"""<div class="hero">
<div class="how">
<p>{ready} <span class="at">as of {_time(document["at"])}</span></p>
<h1>Queue</h1>
<ul class="reasons">{reasons}</ul>
</div>
<div class="screen">{_depth(document)}</div>
</div>"""


def _depth(document: Document) -> str:
    messages = document["messages"]
    if messages is None:
        return '<h2>Messages waiting</h2><p class="number">?</p><p>No store to ask.</p>'
    waiting = messages["queued"] + messages["deferred"] + messages["sending"]
    age_s = document["oldest_age_s"]
    oldest = "Nothing is late." if age_s is None else f"The oldest for {_age(age_s)}."
    return f"""<h2>Messages waiting</h2>
<p class="number">{waiting:,}</p>
<p>{oldest}</p>
{_counts(messages)}"""


def _counts(messages: Document) -> str:
    counts = "".join(
        f"<div><dt>{name}</dt><dd>{number:,}</dd></div>" for name, number in messages.items()
    )
    return f'<dl class="counts">{counts}</dl>'


def _accounts(document: Document) -> str:
    accounts = sorted(document["accounts"], key=lambda it: it["state"] == "ok")
    rows = [_account(it) for it in accounts + document["servers"]]
    if not rows:
        rows = ['<li class="none">No account is known here.</li>']
    if document["servers_left_out"]:
        more = document["servers_left_out"]
        rows.append(f'<li class="none">And {more:,} more servers that jobs name.</li>')
    return f'<section>\n<h2>Accounts</h2>\n<ul class="rows panel">{"".join(rows)}</ul>\n</section>'


def _account(it: Document) -> str:
    until = ""
    if it["held_by_person"]:
        until = "until a person releases it"
    elif it["until"] is not None:
        until = f"until {_time(it['until'])}"
    since = "" if it["since"] is None else f"since {_time(it['since'])}"
    times = " ".join(part for part in (since, until) if part)
    failures = f", failures in a row: {it['failures']:,}" if it["failures"] else ""
    when = f"<p>{times}{failures}</p>" if times else ""
    reason = f'<p class="words">{_said(it["reason"])}</p>' if it["reason"] else ""
    hint = f'<p class="hint">{_said(it["hint"])}</p>' if it["hint"] else ""
    return f"""
<li><div class="what">{_pill(it["state"])}<h3>{_said(it["name"])}</h3></div>
<div class="said">{_counts(it["messages"])}{when}{reason}{hint}</div></li>"""


def _results(document: Document) -> str:
    rows = [_result(it) for it in document["results"]]
    if not rows:
        rows = ['<li class="none">No job has finished yet.</li>']
    return (
        f'<section>\n<h2>Last results</h2>\n<ul class="rows panel">{"".join(rows)}</ul>\n</section>'
    )


def _result(it: Document) -> str:
    account = "" if it["account"] is None else f" by {_said(it['account'])}"
    number, accepted = it["recipients"], it["accepted"]
    people = "" if not number else f", {accepted:,} of {number:,} recipients accepted"
    address = "" if it["address"] is None else f"{_said(it['address'])}: "
    code = "" if it["code"] is None else f"{it['code']:d} "
    words = f'<p class="words">{address}{code}{_said(it["text"])}</p>' if it["text"] else ""
    hint = f'<p class="hint">{_said(it["hint"])}</p>' if it["hint"] else ""
    return f"""
<li><div class="what">{_pill(it["status"])}<h3>{_said(it["name"])}</h3></div>
<div class="said"><p>{_time(it["finished_at"])}{account}{people}</p>{words}{hint}</div></li>"""


def _pill(state: str) -> str:
    return f'<span class="status {_STATES.get(state, "bad")}">{html.escape(state)}</span>'


def _time(moment: str | None) -> str:
    """A time of the document; the day stands in it for whoever points at it."""
    if moment is None:
        return "?"
    at = datetime.fromisoformat(moment).astimezone(UTC)
    return f'<time datetime="{moment}" title="{moment}">{at:%b %d, %H:%M:%S}</time>'


def _age(seconds: float) -> str:
    """In two units at most, the smaller one only where it says something."""
    whole = int(seconds)
    days, hours, minutes = whole // 86_400, whole // 3600 % 24, whole // 60 % 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes else f"{whole} s"


def _said(text: str) -> str:
    """Outside text as HTML: no markup, no control, no direction that runs on behind it."""
    cut = text if len(text) <= MAX_SAID else text[: MAX_SAID - 1] + "\N{HORIZONTAL ELLIPSIS}"
    cut = " ".join(cut.split())
    plain = "".join(it if it.isprintable() else "\N{REPLACEMENT CHARACTER}" for it in cut)
    return f"<bdi>{html.escape(plain)}</bdi>"
