"""How many messages may be under way at a time over one talk: a window that opens by success.

No I/O.  It begins at one message, doubles after each clean one of its own size, and closes at
every refusal.  It never opens where RSET was not seen to work: behind a refused message RSET is
what keeps the next one from going under the wrong sender.
"""

# Exim hangs up at the tenth RSET that it holds for needless, and one is due behind each refused
# message: with a window, that would leave other messages in doubt.
MAX_REFUSALS = 8


class Window:
    """The window of one talk; most: how far the account lets it open."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.open = 1
        self.rset_taken = False  # answered 2yz on this talk: may be relied on before its answer
        # Whether it may slide: a message that was sent behind another one's chunk was answered.
        # Who throws away what stands there would answer the next one in its place.
        self.slides = False
        self._clean = 0  # messages in a row that went well
        self._refusals = 0

    def went_well(self) -> None:
        """A message was accepted as a whole."""
        self._clean += 1
        may_open = self.rset_taken and self._refusals < MAX_REFUSALS
        if self._clean >= self.open and may_open:
            self.open, self._clean = min(2 * self.open, self.most), 0

    def was_refused(self) -> None:
        """Something of a message was refused, or its RSET."""
        self._refusals += 1
        self.open, self._clean = 1, 0
