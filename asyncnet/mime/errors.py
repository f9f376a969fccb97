"""What can go wrong while a letter becomes octets."""


class MimeError(Exception):
    """Root of this room: the letter cannot be composed.  Nothing was written."""


class UnsafeText(MimeError, ValueError):
    """A text that no field or body can carry: a control, half a character, a bad name.

    The job reader refuses such texts with line and column, so here it is our bug, or a letter
    made by hand.  field names the place ("Subject", "text"); why tells what is wrong.
    """

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"{field}: {why}")
        self.field = field
        self.why = why
