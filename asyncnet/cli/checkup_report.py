"""The stages of a check-up on the terminal, each as it ends, and as JSON."""

from typing import Any

from rich.console import Console
from rich.text import Text

from asyncnet.cli.excerpt import visible
from asyncnet.delivery.checkup.stages import Finding, Stage
from asyncnet.delivery.checkup.walk import NOT_REACHED

_COLOURS = {"ok": "green", "warning": "yellow", "failed": "bold red", "skipped": "dim"}
_BEGINNING_COLUMNS = 31  # of a stage's line, before its text


class Report:
    """The stages as they come, printed at once unless quiet."""

    def __init__(self, console: Console, *, quiet: bool) -> None:
        self.stages: list[Stage] = []
        self._console = console
        self._quiet = quiet

    def head(self, name: str, server: str) -> None:
        if not self._quiet:
            self._console.print(Text(name, style="bold") + Text(f"  {server}" if server else ""))

    def tell(self, stage: Stage) -> None:
        if any(it.name == stage.name for it in self.stages):
            return
        self.stages.append(stage)
        if not self._quiet and stage.told != NOT_REACHED:
            self._show(stage)

    def end(self) -> None:
        """Print the last word."""
        if self._quiet:
            return
        left = [_shown(it) for it in self.stages if it.told == NOT_REACHED]
        if left:
            beginning = Text("  skipped  ", style="dim")
            self._print(beginning, Text(f"{NOT_REACHED}: {', '.join(left)}", style="dim"))
        failed = [it for it in self.stages if it.finding is Finding.FAILED]
        if failed:
            word = f"  {_shown(failed[0])} is where it stops: {failed[0].cause}"
            self._console.print(Text(word, style=_COLOURS[Finding.FAILED]))
        else:
            self._console.print(Text("  mail can go out; none was sent", style="green"))

    def _show(self, stage: Stage) -> None:
        style = _COLOURS[stage.finding]
        took = "" if stage.took_s is None else f"{stage.took_s * 1000:.1f} ms"
        beginning = Text("  ") + Text(f"{stage.finding:<8}", style=style)
        beginning.append(f"{_shown(stage):<9}{took:>10}  ")
        self._print(beginning, Text(visible(stage.told), style="dim" * (took == "")))
        blank = Text(" " * _BEGINNING_COLUMNS)
        for detail in stage.details:
            self._print(blank, Text(visible(detail), style="dim"))
        if stage.advice:
            self._print(blank, Text("→ " + visible(stage.advice), style=style))

    def _print(self, beginning: Text, text: Text) -> None:
        """On a terminal long texts are broken under their beginning."""
        if not self._console.is_terminal:
            self._console.print(beginning + text)
            return
        columns = max(self._console.width - _BEGINNING_COLUMNS, 20)
        for line in text.wrap(self._console, columns):
            line.rstrip()
            self._console.print(beginning + line)
            beginning = Text(" " * _BEGINNING_COLUMNS)


def document_of(stage: Stage) -> dict[str, Any]:
    return {
        "stage": stage.name,
        "verdict": str(stage.finding),
        "took_ms": None if stage.took_s is None else round(stage.took_s * 1000, 3),
        "told": stage.told,
        "details": list(stage.details),
        "cause": None if stage.cause is None else str(stage.cause),
        "advice": stage.advice,
    }


def _shown(stage: Stage) -> str:
    return stage.name.replace("_", " ")
