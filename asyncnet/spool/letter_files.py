"""The files of a job: bodies read, attachments and images judged, what is amiss noted.

Nothing is raised for a file: all that is wrong with all of them is told at once.
"""

import re
from pathlib import PurePosixPath

from asyncnet.mail.letter import Calendar, Content, ContentError, Octets, Part
from asyncnet.mail.problem import Problem
from asyncnet.spool.document import shown
from asyncnet.spool.errors import FileRefused
from asyncnet.spool.file_names import safe_name
from asyncnet.spool.files import AllowedFolders, FileContent, read_text
from asyncnet.spool.html_images import Images, embed_images
from asyncnet.spool.job import Job
from asyncnet.spool.job_files import Attachment, FileSource
from asyncnet.spool.media_types import OCTETS, media_type_of_content, media_type_of_name

MAX_BODY_OCTETS = 10_000_000  # a body is held in memory whole, other than attachments

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

    def text(self) -> str | None:
        return self._body(self._job.text_file) if self._job.text_file else self._job.text

    def html(self) -> Images | None:
        """The HTML body, its local images taken along."""
        source = self._job.html_file
        text = self._body(source) if source else self._job.html
        if text is None:
            return None
        for entry in self._job.inline:
            if isinstance(entry.source, FileSource) and entry.cid is not None:
                self._embedded.setdefault(entry.source.path, Part(Octets(b""), "", None, entry.cid))
        return embed_images(text, self._embed)

    def _embed(self, path: str) -> str | None:
        """The content id of a local image, looked for beside the HTML file first."""
        known = self._embedded.get(path)
        if known is not None:
            return known.cid
        key = "html_file" if self._job.html_file else "html"
        line, column = self._job.places[key]
        beside = path
        if self._job.html_file:
            beside = str(PurePosixPath(self._job.html_file.path).parent / path)
        content = self._open(FileSource(beside, key, line, column), path)
        if content is None:
            return None
        cid = f"image{len(self._embedded) + 1}.{self._seed}"
        name = self._name(content.name)
        media_type = self._media_type(name, content, FileSource(beside, key, line, column))
        self._embedded[path] = Part(content, media_type, name, cid)
        return cid

    def inline_parts(self) -> list[Part | None]:
        """Those the job lists, then those that the HTML showed by src."""
        listed = [self.part(entry) for entry in self._job.inline]
        return [*listed, *(part for part in self._embedded.values() if part.media_type)]

    def attachments(self) -> list[Part | None]:
        return [self.part(entry) for entry in self._job.attachments]

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
        text = self._body(self._job.calendar.source)
        if text is None:
            return None
        method = self._job.calendar.method
        found = _CALENDAR_METHOD.search(text)
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
        new = {part.cid for part in self._embedded.values()}
        for cid in sorted(images.cids - defined - new):
            self.warnings.append(f"html: cid:{shown(cid)} is shown, but inline does not define it")
        for cid in sorted({cid for cid in defined if cid} - images.cids):
            self.warnings.append(f"inline.{cid}: html does not show it")

    def _body(self, source: FileSource) -> str | None:
        content = self._open(source)
        if content is None:
            return None
        if content.octets > MAX_BODY_OCTETS:
            self.refuse(
                source.problem(
                    f"the file has {content.octets:,} octets; a body has at most "
                    f"{MAX_BODY_OCTETS:,}",
                    "attach it",
                )
            )
            return None
        try:
            return read_text(content)
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
