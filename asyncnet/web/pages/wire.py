"""The third page: what goes over the wire, as three sequence diagrams."""

from asyncnet.web.pages.diagram import answer, draw_sequence, phase, send
from asyncnet.web.pages.frame import frame_page
from asyncnet.web.pages.style import WIRE as _STYLE

_HANDSHAKE = draw_sequence(
    "Client",
    "Server",
    [
        phase("The server <b>listens</b>, the client <b>connects</b>"),
        send("SYN", "seq = x"),
        answer("SYN + ACK", "seq = y, ack = x + 1"),
        send("ACK", "ack = y + 1"),
        phase("Both ends: <b>established</b>"),
    ],
)

_REQUEST = """<pre><b>GET / HTTP/1.1</b>
Host: localhost:8080
Accept: text/html
<i>(an empty line)</i></pre>"""

_RESPONSE = """<pre><b>HTTP/1.1 200 OK</b>
Server: asyncnet
Content-Length: …
Content-Type: text/html
Connection: Closed
Connection: close
<i>(an empty line, then the page)</i></pre>"""

_HTTP = draw_sequence(
    "Browser",
    "asyncnet",
    [
        phase("TCP is <b>established</b>"),
        send(_REQUEST),
        answer(_RESPONSE),
        answer("FIN", "nothing more will come"),
        send("FIN", "nor from here"),
        phase("The connection is <b>closed</b>"),
    ],
)

_CONTENT = """<pre>From: Ann &lt;ann@example.org&gt;
Subject: Hello
<i>(an empty line, then text and files as MIME)</i>
<b>.</b></pre>"""

_SMTP = draw_sequence(
    "asyncnet",
    "Mail server",
    [
        phase(
            "TCP is <b>established</b>, TLS is agreed: <b>encrypted from here on</b>", locked=True
        ),
        answer("220", "the server greets"),
        send("EHLO host.example.org", "who is calling"),
        answer("250", "and what it can do: PIPELINING, SIZE, AUTH"),
        send("AUTH PLAIN …", "the password, hidden by TLS"),
        answer("235", "logged in"),
        phase("<b>The envelope</b>, in one packet where the server allows it"),
        send("MAIL FROM:&lt;ann@example.org&gt;", "where a bounce would go"),
        send("RCPT TO:&lt;bob@example.net&gt;", "once for each recipient"),
        send("DATA", "the letter comes next"),
        answer("250 &nbsp;250 &nbsp;354", "one reply for each: go ahead"),
        phase("<b>The letter</b>"),
        send(_CONTENT, "a lone dot ends it"),
        answer("250", "accepted: from now on the server answers for it"),
        send("QUIT"),
        answer("221", "goodbye"),
    ],
)

_BODY = f"""
<h1>On the wire</h1>
<p class="lead">Three conversations, from the first packet to the last. Time runs downwards; the
slope of a line is the time a packet needs to get across.</p>

<section class="talk">
<div class="why">
<h2>TCP: the three&#8209;way handshake</h2>
<p>Before a single octet of data moves, both ends agree on where to begin counting. Each sends
a number of its own and confirms the other’s: three packets, one round trip.</p>
<dl><dt>SYN</dt><dd>“I begin counting at x.”</dd>
<dt>ACK</dt><dd>“I have everything before this.”</dd></dl>
<p>Nobody can pretend to be somewhere else: without hearing y, nobody can confirm it.</p>
</div>
{_HANDSHAKE}
</section>

<section class="talk">
<div class="why">
<h2>HTTP: one exchange</h2>
<p>The page you are reading came like this: a head that ends with an empty line, and an
answer that says how long it is.</p>
<dl><dt>Host</dt><dd>which site is meant; without it the answer is 400</dd>
<dt>Length</dt><dd>how many octets the page has, so that a cut one is noticed</dd>
<dt>Closed</dt><dd>no second request on this connection</dd></dl>
</div>
{_HTTP}
</section>

<section class="talk">
<div class="why">
<h2>SMTP: one transaction</h2>
<p>A mail is a letter in an envelope. The server looks at the envelope alone to decide who gets
it; To and Cc in the letter are for people.</p>
<dl><dt>2yz</dt><dd>done</dd>
<dt>3yz</dt><dd>go on</dd>
<dt>4yz</dt><dd>not now: asyncnet tries again later</dd>
<dt>5yz</dt><dd>never: it stands in the result, with the server’s own words</dd></dl>
<p>The reply to the lone dot decides everything. If the connection breaks in that one moment,
nobody can know; asyncnet calls such a mail “in doubt” and says so.</p>
</div>
{_SMTP}
</section>
"""

PAGE3 = frame_page("On the wire \N{EM DASH} asyncnet", _BODY, style=_STYLE, path="/page3")
