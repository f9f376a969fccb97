"""Sequence diagrams in HTML: two ends, and the messages between them from top to bottom.

Labels are text on the page and not in a drawing, so that they keep their size on a phone.
"""

# The lines are stretched to their row; the stroke keeps its width all the same.
_LINE = (
    '<svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">'
    '<path vector-effect="non-scaling-stroke" d="{path}"/></svg>'
)
_LOCK = (
    '<svg class="lock" viewBox="0 0 16 16" aria-hidden="true">'
    '<path d="M5 7V5a3 3 0 0 1 6 0v2"/><rect x="3" y="7" width="10" height="7" rx="1.5"/></svg> '
)
_OUT = _LINE.format(path="M0 0L100 100")
_BACK = _LINE.format(path="M100 0L0 100")


def draw_sequence(client: str, server: str, steps: list[str]) -> str:
    """The whole diagram; steps come from send, answer and phase."""
    ends = f'<div class="ends"><span>{client}</span><span>{server}</span></div>'
    return f'<div class="seq panel">{ends}<ol>{"".join(steps)}</ol></div>'


def send(label: str, note: str = "") -> str:
    """A message of the client; label and note are HTML."""
    return f'<li class="m">{_OUT}<div>{label}{_small(note)}</div></li>'


def answer(label: str, note: str = "") -> str:
    """A message of the server."""
    return f'<li class="m back">{_BACK}<div>{label}{_small(note)}</div></li>'


def phase(text: str, *, locked: bool = False) -> str:
    """A bar across both ends; locked draws a padlock, from where TLS hides what follows."""
    return f'<li class="phase">{_LOCK if locked else ""}{text}</li>'


def _small(note: str) -> str:
    return f"<small>{note}</small>" if note else ""
