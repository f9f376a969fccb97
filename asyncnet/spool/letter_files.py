"""The files of a job: bodies read, attachments and images judged, what is amiss noted.

Nothing is raised for a file: all that is wrong with all of them is told at once.
"""

import re
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath

from asyncnet.mail.letter import Body, Calendar, Content, ContentError, Octets, Part
from asyncnet.mail.problem import Problem
from asyncnet.spool.document import shown
from asyncnet.spool.errors import MAX_PROBLEMS, FileRefused
from asyncnet.spool.file_names import safe_name
from asyncnet.spool.files import AllowedFolders, FileContent
from asyncnet.spool.html_images import MAX_EDITS, MAX_TOLD, Images, ImageScan, edited, images_of
from asyncnet.spool.job import Job
from asyncnet.spool.job_files import Attachment, FileSource
from asyncnet.spool.long_runs import utf8_octets
from asyncnet.spool.media_types import OCTETS, media_type_of_content, media_type_of_name
from asyncnet.spool.text_file import Edited, read_body

_CALENDAR_METHOD = re.compile(r"^METHOD(?:;[^:\r\n]*+)?:([^\r\n]*+)", re.IGNORECASE | re.MULTILINE)


class LetterFiles:
    """The files of one job; problems and warnings gather here.

    only_missing tells that every problem is a file that is not there (yet).
    """

    def __init__(self, job: Job, folders: AllowedFolders, owner: int, seed: str) -> None:
        self.problems: list[Problem] = []
        self.warnings: list[str] = []
        self.only_missing = True
        self._job = job
        self._folders = folders
        self._owner = owner
        self._seed = seed
        self._embedded: dict[str, Part] = {}  # by path, images that the html shows by src

    def text(self) -> Body | None:
        return self._body(self._job.text_file) if self._job.text_file else self._job.text

    def html(self) -> tuple[Body, Images] | None:
        """The HTML body, its local images taken along."""
        if self._job.html is None and self._job.html_file is None:
            return None
        for entry in self._job.inline:
            if isinstance(entry.source, FileSource) and entry.cid is not None:
                self._embedded.setdefault(entry.source.path, Part(Octets(b""), "", None, entry.cid))
        scan = ImageScan(self._embed, utf8_octets)
        source = self._job.html_file
        body = self._body(source, scan.receive) if source else self._job.html
        if body is None:
            return None
        if isinstance(body, str):
            images = images_of(body, self._embed)
            body = edited(body, images.edits)
        else:
            images = scan.end()
            octets = ((start, end, new.encode()) for start, end, new in images.edits)
            body = Edited(body, tuple(octets)) if images.edits else body
        if images.too_many:
            problem = f"shows local images in more than {MAX_EDITS:,} places"
            self.refuse(self._html_place().problem(problem, "attach it"))
        return body, images

    def _html_place(self, path: str = "") -> FileSource:
        key = "html_file" if self._job.html_file else "html"
        return FileSource(path, key, *self._job.places[key])

    def _embed(self, path: str) -> str | None:
        """The content id of a local image, looked for beside the HTML file first."""
        known = self._embedded.get(path)
        if known is not None:
            return known.cid
        if len(self.problems) >= MAX_PROBLEMS:
            return None  # refused already; more would not be told
        source = self._html_place(path)
        if self._job.html_file:
            beside = str(PurePosixPath(self._job.html_file.path).parent / path)
            source = self._html_place(beside)
        content = self._open(source, path)
        if content is None:
            return None
        cid = f"image{len(self._embedded) + 1}.{self._seed}"
        name = self._name(content.name)
        media_type = self._media_type(name, content, source)
        self._embedded[path] = Part(content, media_type, name, cid)
        return cid

    def inline_parts(self) -> tuple[Part, ...]:
        """Those the job lists, then those that the HTML showed by src."""
        embedded = [part for part in self._embedded.values() if part.media_type]
        return (*self._parts(self._job.inline), *embedded)

    def attachments(self) -> tuple[Part, ...]:
        return self._parts(self._job.attachments)

    def _parts(self, entries: Iterable[Attachment]) -> tuple[Part, ...]:
        return tuple([part for entry in entries if (part := self.part(entry)) is not None])

    def part(self, entry: Attachment) -> Part | None:
        """An attachment or inline image; None when a problem was noted."""
        source = entry.source
        content = self._open(source) if isinstance(source, FileSource) else Octets(source)
        if content is None:
            return None
        found_name = content.name if isinstance(content, FileContent) else ""
        name = self._name(entry.name or found_name)
        media_type = entry.media_type or self._media_type(name, content, source)
        return Part(content, media_type, name, entry.cid)

    def _name(self, name: str) -> str:
        """The name made safe; a change is told."""
        safe = safe_name(name)
        if safe != name:
            self.warnings.append(f"the file name {shown(name)!r} was not safe: {shown(safe)!r}")
        return safe

    def _media_type(self, name: str, content: Content, source: FileSource | bytes) -> str:
        """By the name; where that says nothing, by how the content begins."""
        known = media_type_of_name(name)
        if known is not None:
            return known
        try:
            beginning = next(content.blocks(), b"")
        except ContentError as error:
            if isinstance(source, FileSource):
                self.refuse(source.problem(str(error)), missing=True)
            return OCTETS
        return media_type_of_content(beginning)

    def calendar(self) -> Calendar | None:
        """The invitation; the file's own method must be the job's (RFC 6047 section 2.4)."""
        if self._job.calendar is None:
            return None
        beginning = ""

        def keep(part: str) -> None:
            # Enough of a long one: METHOD stands before all components (RFC 5545 section 3.6).
            nonlocal beginning
            beginning = beginning or part

        text = self._body(self._job.calendar.source, keep)
        if text is None:
            return None
        method = self._job.calendar.method
        found = _CALENDAR_METHOD.search(text if isinstance(text, str) else beginning)
        if found is None:
            self.warnings.append(f"calendar: the file has no METHOD; programs expect {method}")
        elif found[1].strip().upper() != method:
            self.warnings.append(
                f"calendar: the file says METHOD:{shown(found[1].strip())}, the job {method}"
            )
        return Calendar(method, text)

    def warn_of_images(self, images: Images | None) -> None:
        """What the reader of the mail will not see."""
        defined = {entry.cid for entry in self._job.inline}
        if images is None:
            if defined:
                self.warnings.append("inline: there is no html that could show these images")
            return
        for url in images.remote:
            self.warnings.append(
                f"html: most providers do not show external images: {shown(url)}; "
                "put the file beside the job and name it instead"
            )
        for url in images.unusable:
            self.warnings.append(f"html: an image that nobody else can open: {shown(url)}")
        if MAX_TOLD in (len(images.remote), len(images.unusable)):
            self.warnings.append("html: there may be more such images, which are not told")
        new = {part.cid for part in self._embedded.values()}
        for cid in sorted(images.cids - defined - new):
            self.warnings.append(f"html: cid:{shown(cid)} is shown, but inline does not define it")
        for cid in sorted({cid for cid in defined if cid} - images.cids):
            self.warnings.append(f"inline.{cid}: html does not show it")

    def _body(self, source: FileSource, take: Callable[[str], object] | None = None) -> Body | None:
        """The judged text; None when a problem was noted.  take is given that of a long one."""
        content = self._open(source)
        if content is None:
            return None
        try:
            return read_body(content, take)
        except FileRefused as error:
            self.refuse(source.problem(error.problem, error.suggestion))
        except ContentError as error:
            self.refuse(source.problem(str(error)), missing=True)
        return None

    def _open(self, source: FileSource, written: str | None = None) -> FileContent | None:
        """The judged file; None when a problem was noted.  written is the path as in the job."""
        try:
            return self._folders.open(source.path, self._owner)
        except FileRefused as error:
            problem = f"{shown(written or source.path)!r}: {error.problem}"
            self.refuse(source.problem(problem, error.suggestion), missing=error.missing)
            return None

    def refuse(self, problem: Problem, *, missing: bool = False) -> None:
        self.problems.append(problem)
        self.only_missing = self.only_missing and missing
