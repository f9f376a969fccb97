"""Which request gets which answer from the operators' listener; nothing here changes anything.

/metrics, /queue, /queue.json, /healthz with its two halves: 200, or 503 where health is bad, which
is what monitoring understands.  All else is answered as on port 8080: 404 and 400.
"""

import json
import time
from collections.abc import Awaitable, Callable, Iterable
from http import HTTPStatus

from asyncnet.http1.request import Request
from asyncnet.http1.response import ReadyResponse, compose, format_date
from asyncnet.web.ops.document import describe
from asyncnet.web.ops.hosts import Hosts
from asyncnet.web.ops.metrics import CONTENT_TYPE, Metrics
from asyncnet.web.ops.page import OPERATORS, QueuePage
from asyncnet.web.ops.survey import Surveyor
from asyncnet.web.pages.frame import frame_page

_NOT_FOUND = frame_page(
    "Not found \N{EM DASH} asyncnet",
    """
<p><span class="status warn">404</span></p>
<h1>The information was not found.</h1>
<p class="lead">There are <a href="/queue">/queue</a>, <a href="/queue.json">/queue.json</a>,
<a href="/metrics">/metrics</a> and <a href="/healthz">/healthz</a>.</p>
""",
    site=OPERATORS,
)
_REFUSED = frame_page(
    "Bad request \N{EM DASH} asyncnet",
    """
<p><span class="status bad">400</span></p>
<h1>The request was not understood.</h1>
<p class="lead">Plain, well-formed GET requests are answered here, and nothing else.</p>
""",
    site=OPERATORS,
)
_WRONG_HOST = frame_page(
    "Bad request \N{EM DASH} asyncnet",
    """
<p><span class="status bad">400</span></p>
<h1>This name is not one of ours.</h1>
<p class="lead">Ask by address, as localhost or by the machine's name; others can be allowed in the
settings: <code>[ops] hosts</code>.</p>
""",
    site=OPERATORS,
)


class OperatorsSite:
    """The site.  hosts are the names it may be asked by; clock gives POSIX seconds."""

    def __init__(
        self, surveyor: Surveyor, hosts: Iterable[str], clock: Callable[[], float] = time.time
    ) -> None:
        self._surveyor = surveyor
        self._hosts = Hosts(hosts)
        self._clock = clock
        self._metrics = Metrics(surveyor.watched)
        self._page = QueuePage()
        self._answers: dict[bytes, Callable[[], Awaitable[ReadyResponse]]] = {
            b"/metrics": self._answer_metrics,
            b"/queue": self._answer_queue,
            b"/queue.json": self._answer_document,
            b"/healthz": self._answer_health,
            b"/healthz/ready": self._answer_health,
            b"/healthz/live": self._answer_live,
        }

    async def answer(self, request: Request) -> bytes:
        """The whole response."""
        return (await self._respond(request)).octets(format_date(int(self._clock())))

    async def _respond(self, request: Request) -> ReadyResponse:
        if request.fault is not None:
            # RFC 9110 section 9.3.2: a HEAD is never answered with content.
            text = "" if request.method == b"HEAD" else _REFUSED.text
            return _page(HTTPStatus.BAD_REQUEST, text, _REFUSED.policy)
        if not self._hosts.takes(request.host):
            return _page(HTTPStatus.BAD_REQUEST, _WRONG_HOST.text, _WRONG_HOST.policy)
        answer = self._answers.get(request.path)
        if answer is None:
            return _page(HTTPStatus.NOT_FOUND, _NOT_FOUND.text, _NOT_FOUND.policy)
        return await answer()

    async def _answer_metrics(self) -> ReadyResponse:
        text = self._metrics.exposition(await self._surveyor.survey())
        return compose(HTTPStatus.OK, text, content_type=CONTENT_TYPE)

    async def _answer_queue(self) -> ReadyResponse:
        page = self._page.render(describe(await self._surveyor.survey()))
        return _page(HTTPStatus.OK, page.text, page.policy)

    async def _answer_document(self) -> ReadyResponse:
        return _json(HTTPStatus.OK, describe(await self._surveyor.survey()))

    async def _answer_health(self) -> ReadyResponse:
        reasons = (await self._surveyor.survey()).reasons
        status = HTTPStatus.SERVICE_UNAVAILABLE if reasons else HTTPStatus.OK
        return _json(status, {"live": True, "ready": not reasons, "reasons": reasons})

    async def _answer_live(self) -> ReadyResponse:
        """That there is an answer at all is what it says."""
        return _json(HTTPStatus.OK, {"live": True})


def _page(status: HTTPStatus, text: str, policy: str) -> ReadyResponse:
    return compose(status, text.encode("utf-8"), policy=policy)


def _json(status: HTTPStatus, document: object) -> ReadyResponse:
    # Outside text may hold lone surrogates, which JSON can say and UTF-8 cannot.
    text = json.dumps(document, indent=2) + "\n"
    return compose(status, text.encode("ascii"), content_type="application/json")
