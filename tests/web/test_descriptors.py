"""The number of connections against the limits on descriptors, with a limit that is played."""

import resource

import pytest

from asyncnet.web.descriptors import RESERVED, fit_connections

ENDLESS = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "raised_to", "fit"),
    [
        pytest.param(50_000, 50_000, 10_000, None, 10_000, id="enough already"),
        pytest.param(1024, 50_000, 10_000, 10_000 + RESERVED, 10_000, id="raised as needed"),
        pytest.param(1024, 4096, 10_000, 4096, 4096 - RESERVED, id="raised as far as allowed"),
        pytest.param(1024, ENDLESS, 10_000, 10_000 + RESERVED, 10_000, id="no hard limit"),
        pytest.param(ENDLESS, ENDLESS, 10_000, None, 10_000, id="no limit at all"),
        pytest.param(64, 64, 10_000, 64, 1, id="fewer than the rest of the daemon needs"),
    ],
)
def test_the_limit_is_raised_and_kept(
    monkeypatch: pytest.MonkeyPatch,
    soft: int,
    hard: int,
    wanted: int,
    raised_to: int | None,
    fit: int,
) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: asked.append(limits))
    assert fit_connections(wanted) == fit
    assert asked == ([] if raised_to is None else [(raised_to, hard)])


def test_a_refusal_of_the_system_is_lived_with(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int, limits: tuple[int, int]) -> None:
        raise ValueError("current limit exceeds maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, ENDLESS))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert fit_connections(10_000) == 1024 - RESERVED
