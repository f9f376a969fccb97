"""When the next attempt is: of a message, and of an account in trouble.  No I/O.

RFC 5321 section 4.5.4.1 asks for a first retry after 30 minutes or more between hosts that do not
know each other; towards one's own submission server a quick start and a long tail serve better.
Times are seconds since the epoch, delays seconds.  chance is a random number in [0, 1).
"""

from asyncnet.config.sections import QueueSettings
from asyncnet.delivery.judgement import Judgement
from asyncnet.mail.verdict import Kind

# A login that failed once fails again until a person does something, and every further try may lock
# the account: four in the first 24 hours, then one a day.
LOGIN_PROBES_S = (900.0, 3600.0, 21600.0, 86400.0)
# A server or a line that is down comes back by itself, mostly soon.
OUTAGE_PROBES_S = (10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0)
THROTTLE_PROBES_S = (60.0, 120.0, 300.0, 600.0, 900.0)
# Nobody tells when a quota ends; most count a rolling day, so that an hour later some is free.
QUOTA_PROBES_S = (3600.0,)

PROBES_S = {
    Kind.AUTH: LOGIN_PROBES_S,
    Kind.THROTTLE: THROTTLE_PROBES_S,
    Kind.QUOTA: QUOTA_PROBES_S,
}


def next_attempt(
    settings: QueueSettings,
    attempts: int,
    now: float,
    expires_at: float,
    chance: float,
    delay_s: float | None = None,
) -> float:
    """When a message is tried again after attempts attempts, the one just over included.

    delay_s, where a rule gives it, takes the schedule's place.  Never after expires_at: the
    message is due then, to be given up.
    """
    if delay_s is None:
        delay_s = settings.retry[min(attempts, len(settings.retry) - 1)]
    return min(now + jittered(delay_s, settings.jitter, chance), max(expires_at, now))


def jittered(delay_s: float, jitter: float, chance: float) -> float:
    """delay_s, up to jitter (0.2 is 20 %) shorter or longer, so that retries spread."""
    return delay_s * (1.0 + jitter * (2.0 * chance - 1.0))


def probe_delay_s(judgement: Judgement, failures: int) -> float:
    """How long an account waits after so many failures in a row, this one included (from 1)."""
    if judgement.delay_s is not None:
        ceiling = judgement.delay_max_s or judgement.delay_s
        # The exponent is bounded because 2.0 ** 1024 is no float any more.
        return min(judgement.delay_s * 2.0 ** min(failures - 1, 60), ceiling)
    steps = PROBES_S.get(judgement.kind or Kind.NETWORK, OUTAGE_PROBES_S)
    return steps[min(failures, len(steps)) - 1]
