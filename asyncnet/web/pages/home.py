"""The home page and the slot in it that shows the request counter."""

from asyncnet.web.pages.frame import frame_page
from asyncnet.web.pages.style import HOME as _STYLE

_END_OF_NUMBER = b"</strong>"
# Room for 20 digits, more than any counter will need.  The padding follows the closing tag,
# where HTML shows no space, so that Content-Length is the same for every number.
_SLOT_OCTETS = 20 + len(_END_OF_NUMBER)
COUNTER_SLOT = b"\x01" * _SLOT_OCTETS  # a control stands nowhere else in a page


def fill_counter_slot(number: int) -> bytes:
    """What to put in place of COUNTER_SLOT; of the same length."""
    return (b"%d" % number + _END_OF_NUMBER).ljust(_SLOT_OCTETS)


_BODY = f"""
<div class="hero">
<div>
<h1>Requests in, e&#8209;mail out.</h1>
<p class="lead">asyncnet is one daemon with two network services, both written by hand down to
the octet: this web server, and a mail service that turns a dropped file into a delivered
message.</p>
</div>
<div class="screen">
<svg class="trace" viewBox="0 0 600 200" preserveAspectRatio="none" aria-hidden="true">
<path d="M0 150h70v-60h60v60h90v-110h40v110h30v-60h90v60h50v-90h60v90h50v-40h60"/>
<path d="M0 190h120v-40h50v40h140v-70h60v70h80v-30h40v30h110"/>
</svg>
<h2>Requests answered</h2>
<p class="number"><strong id="counter">{COUNTER_SLOT.decode("ascii")}</p>
<p>Since the program started, this one included. Reload the page and it grows by one.</p>
</div>
</div>

<section>
<h2>Look further</h2>
<div class="doors">
<a class="door panel" href="/page2"><h3>Drop a mail job</h3>
<p>The cheat sheet: a few lines of YAML, moved into a folder, become an e&#8209;mail with
attachments. Every key on one page.</p></a>
<a class="door panel" href="/page3"><h3>On the wire</h3>
<p>What the packets say: the TCP three&#8209;way handshake, one HTTP exchange and one SMTP
transaction, drawn step by step.</p></a>
</div>
</section>

<section>
<h2>Which request gets which answer</h2>
<ul class="answers panel">
<li><span class="status ok">200</span>
<p><b>A well-formed GET of one of the three pages.</b> A query is ignored.</p></li>
<li><span class="status warn">404</span>
<p><b>A well-formed GET of anything else.</b> Counted apart, not in the number above.</p></li>
<li><span class="status bad">400</span>
<p><b>Everything else:</b> any other method, and whatever is malformed, too large or too
slow.</p></li>
</ul>
</section>

<section>
<h2>How a file becomes a mail</h2>
<ol class="way">
<li class="panel"><h3>pickup/</h3><p>You drop a job file. Until the daemon takes it, it is
still yours.</p></li>
<li class="panel"><h3>queue/</h3><p>The message is composed once, stored durably and tried until
the mail server has decided.</p></li>
<li class="panel"><h3>sent/ or failed/</h3><p>The job comes to rest with a result beside it: one
verdict for each recipient.</p></li>
</ol>
</section>
"""

HOME = frame_page("asyncnet", _BODY, style=_STYLE, path="/")
