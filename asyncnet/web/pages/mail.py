"""The second page: how to drop a mail job, on one sheet."""

from asyncnet.web.pages.frame import frame_page
from asyncnet.web.pages.style import MAIL as _STYLE

# (key, meaning), by the question one has in mind; the whole truth is `asyncnet schema`.
_KEYS: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    (
        "Who",
        (
            ("from", 'The author: <code>"Ann &lt;ann@example.org&gt;"</code>.'),
            ("to, cc, bcc", "An address or a list; at least one in all. bcc stays unseen."),
            ("reply_to, sender", "Where answers go; who sends on the author’s behalf."),
            ("envelope_from", "Where bounces go, when not to <code>from</code>."),
        ),
    ),
    (
        "What",
        (
            ("subject", "Plain text in any script."),
            ("text, html", "The body; give both and the reader’s program chooses."),
            ("text_file, html_file", "The same, read from a file."),
            (
                "attachments",
                "A list of paths, or <code>{path, name, type}</code>, "
                "<code>{text, name, type}</code>, <code>{base64, name, type}</code>.",
            ),
            (
                "inline",
                "Pictures inside the HTML: a map from name to path, used there as "
                "<code>cid:name</code>. A local <code>&lt;img&gt;</code> is taken in by itself.",
            ),
            (
                "calendar",
                "An invitation: a file of iCalendar text, or <code>{method, path}</code>.",
            ),
            ("headers", "More fields, by name. Reserved ones are refused."),
            ("message_id, date", "Made for you, once; every retry sends the same octets."),
        ),
    ),
    (
        "When",
        (
            ("send_at, expires_at", "<code>2030-01-31T09:00:00+01:00</code>"),
            ("priority", "<code>high</code>, <code>normal</code> or <code>low</code>."),
        ),
    ),
    (
        "Which way",
        (
            ("account", "One of the configured accounts; else chosen by <code>from</code>."),
            (
                "server, tls",
                "Another server, name or IP address, without login; <code>implicit</code>, "
                "<code>starttls</code> or <code>none</code>. Only where the operator allows it.",
            ),
            ("require_tls", "Rather no delivery than one in the clear."),
        ),
    ),
    (
        "Just in case",
        (
            ("id", "Your own name for the job: a second one with the same id is not sent."),
            (
                "on_doubt",
                "If the line breaks at the last moment: <code>retry</code>, <code>hold</code> or "
                "<code>fail</code>.",
            ),
            ("meta", "Anything you want to find again in the result."),
        ),
    ),
)


def _list_keys() -> str:
    parts = []
    for question, keys in _KEYS:
        rows = "".join(f"<div><dt>{key}</dt><dd>{meaning}</dd></div>" for key, meaning in keys)
        parts.append(f"<h3>{question}</h3><dl>{rows}</dl>")
    return f'<div class="keys panel">{"".join(parts)}</div>'


_BODY = f"""
<h1>Drop a mail job</h1>
<p class="lead">A job is a small YAML file. Move it into a folder, and it becomes an
e&#8209;mail; for every file you drop in, a result file comes out.</p>

<section>
<ol class="steps">
<li class="panel"><h3>Write</h3>
<pre><i># hello.yaml</i>
<b>from</b>: ann@example.org
<b>to</b>: bob@example.net
<b>subject</b>: Hello
<b>text</b>: It works.</pre></li>
<li class="panel"><h3>Drop</h3>
<pre>mv hello.yaml spool/pickup/</pre>
<p>Write the file elsewhere and move it in: a move is never seen half done. Or let
<code>asyncnet submit hello.yaml</code> do both.</p></li>
<li class="panel"><h3>Read</h3>
<pre>spool/sent/hello.yaml
spool/sent/hello.result.json</pre>
<p>In <code>sent/</code> every recipient was accepted. Anything else is in
<code>failed/</code>, with the reason.</p></li>
</ol>
</section>

<section>
<h2>With everything</h2>
<div class="pair">
<div><h3>The job</h3>
<p>Paths are looked for in the pickup folder and in the folders the operator allows.</p>
<pre><b>id</b>: invoice-2030-0117
<b>from</b>: Ann Example &lt;ann@example.org&gt;
<b>to</b>:
  - Bob &lt;bob@example.net&gt;
  - carol@example.com
<b>bcc</b>: archive@example.org
<b>subject</b>: Your invoice
<b>text</b>: |
  Dear Bob,
  the invoice is attached.
<b>html</b>: |
  &lt;p&gt;Dear Bob, the invoice is attached.
  &lt;p&gt;&lt;img src="cid:logo"&gt;
<b>inline</b>:
  logo: logo.png
<b>attachments</b>:
  - invoice.pdf
  - {{path: scan1.jpg, name: delivery.jpg}}
<b>send_at</b>: 2030-01-17T08:00:00+01:00</pre></div>
<div><h3>The result</h3>
<p>One verdict for each recipient, in the server’s own words. Shortened here.</p>
<pre>{{<b>"status"</b>: "partial",
 <b>"queue_id"</b>: "01JDX0V6S3N2K7QW",
 <b>"server"</b>: "smtp.example.org:465",
 <b>"attempts"</b>: 1,
 <b>"recipients"</b>: [
  {{"address": "bob@example.net",
   "status": "accepted",
   "code": 250,
   "text": "OK: queued as 4F2"}},
  {{"address": "carol@example.com",
   "status": "rejected",
   "code": 550,
   "enhanced": "5.1.1",
   "text": "no such user"}}],
 <b>"errors"</b>: [],
 <b>"warnings"</b>: []}}</pre></div>
</div>
</section>

<section>
<h2>Every key</h2>
<p>Only <code>from</code>, one recipient and something to send are needed. A key that does not
exist is an error that names the nearest one that does.</p>
{_list_keys()}
</section>

<section>
<h2>Good to know</h2>
<ul class="names panel">
<li><b>.yaml .yml .json .eml</b><span>are taken; an .eml is sent as it stands.</span></li>
<li><b>.name _name name~ .tmp .part .swp</b><span>are left alone, so a half-written file can
wait under such a name.</span></li>
<li><b>asyncnet check job.yaml</b><span>tells every mistake at once, with line and column, and
sends nothing.</span></li>
<li><b>asyncnet submit --wait 30 job.yaml</b><span>drops the job and waits for the
outcome.</span></li>
<li><b>mv failed/job.yaml pickup/</b><span>sends it again; with its result beside it, recipients
who have it already are left out.</span></li>
</ul>
</section>
"""

PAGE2 = frame_page("Drop a mail job \N{EM DASH} asyncnet", _BODY, style=_STYLE, path="/page2")
