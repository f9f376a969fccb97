"""Lengths of time in words."""


def span(seconds: float) -> str:
    """A length of time as a person says it: "45 s", "12 min", "3 h", "5 d"."""
    for unit, length_s in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length_s:
            return f"{seconds / length_s:.0f} {unit}"
    return f"{seconds:.0f} s"
