"""Whose turn it is in a lane: start-time fair queueing (Goyal, Vin, Cheng 1996), by mails.  No I/O.

A mail's turn is the one after its sender's last, but never before the present one, which is the
first that waits in its lane: so the next mail of everybody comes before anybody's second, however
many one of them has dropped before.  The turn lies in the row; what is remembered here is only each
sender's last.  Forgotten (a start, another machine, too many senders), it begins at the present
turn: a burst that goes on then runs beside what is left of itself, and no other waits longer.
"""

MOST_REMEMBERED = 20_000  # senders and lanes, about 200 octets each

Lane = tuple[str | bytes, int]  # Route.key, as the engine keeps it, and priority


class Turns:
    """Gives turns, from 1 on; 0 is for what goes by its due time."""

    def __init__(self, most_remembered: int = MOST_REMEMBERED) -> None:
        self.remembered = 0
        self._most_remembered = most_remembered
        self._lasts: dict[Lane, dict[str, int]] = {}
        self._present: dict[Lane, int] = {}

    def move_on(self) -> None:
        """Mails left their lines: the present turns are to be told again."""
        self._present.clear()

    def knows(self, lane: Lane) -> bool:
        """Whether the lane's present turn was told: it stays, however many more come in."""
        return lane in self._present

    def now_at(self, lane: Lane, first: int | None) -> None:
        """Tell the first turn that waits in a lane, None where none does: all begin anew then."""
        self._present[lane] = first or 1
        if first is None and (lasts := self._lasts.get(lane)):
            self.remembered -= len(lasts)
            lasts.clear()

    def take(self, lane: Lane, reverse_path: str) -> int:
        """The turn of the sender's next mail, as the present turn was told last."""
        present, sender = self._present.get(lane, 1), reverse_path.lower()
        lasts = self._lasts.get(lane)
        last = 0 if lasts is None else lasts.get(sender, 0)
        turn = last + 1 if last >= present else present
        if lasts is None or not last:
            lasts = self._room_for_one(lane)
        lasts[sender] = turn
        return turn

    def _room_for_one(self, lane: Lane) -> dict[str, int]:
        """The last turns in a lane, to which a sender is to be added."""
        if self.remembered + 2 > self._most_remembered:
            self._forget()
        self.remembered += 1 if lane in self._lasts else 2
        return self._lasts.setdefault(lane, {})

    def _forget(self) -> None:
        # Whoever's last turn is over gets the present one in any case.
        kept = {}
        for lane, lasts in self._lasts.items():
            present = self._present.get(lane, 1)
            if ahead := {it: last for it, last in lasts.items() if last >= present}:
                kept[lane] = ahead
        self.remembered = sum(len(lasts) + 1 for lasts in kept.values())
        if self.remembered > self._most_remembered // 2:
            kept, self.remembered = {}, 0
        self._lasts = kept
