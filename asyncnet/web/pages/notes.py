"""The two short pages for a request that gets none: not found, and refused.

Neither repeats anything of the request: what came from outside is never sent back as HTML.
"""

from asyncnet.web.pages.frame import frame_page

NOT_FOUND = frame_page(
    "Not found \N{EM DASH} asyncnet",
    """
<p><span class="status warn">404</span></p>
<h1>The information was not found.</h1>
<p class="lead">This server holds three pages, and the address names none of them. The
<a href="/">home page</a> leads to the other two.</p>
""",
)

REFUSED = frame_page(
    "Bad request \N{EM DASH} asyncnet",
    """
<p><span class="status bad">400</span></p>
<h1>The request was not understood.</h1>
<p class="lead">This server answers plain, well-formed GET requests and nothing else. The
<a href="/">home page</a> is one of them.</p>
""",
)
