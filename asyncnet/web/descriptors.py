"""How many connections the process has descriptors for.

A server that runs out of them cannot even accept in order to refuse, and asyncio's own loop
then logs without end: so the limit on connections stays below the limit on descriptors.
"""

import sys

RESERVED = 256  # for the rest of the daemon: database, spool, SMTP connections, logs


def fit_connections(wanted: int) -> int:
    """Raise the soft limit as far as wanted and allowed; return how many connections fit."""
    if sys.platform == "win32":
        return wanted  # no such limit there
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    need = wanted + RESERVED
    if soft < need:
        allowed = need if hard == resource.RLIM_INFINITY else min(need, hard)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
            soft = allowed
        except (OSError, ValueError):
            pass  # macOS has a lower bound that getrlimit does not tell; the old one holds
    return max(1, min(wanted, soft - RESERVED))
