"""A circuit breaker: when it opens, how long its pauses are, and what closes it."""

from __future__ import annotations

from sso.platform.security.breaker import Breaker, BreakerState


def opened(failures: int = 3) -> Breaker:
    breaker = Breaker(failures, 1.0, 30.0)
    for _ in range(failures):
        breaker.failed(100.0)
    return breaker


def test_failures_in_a_row_open_it_and_a_success_in_between_does_not() -> None:
    breaker = Breaker(3, 1.0, 30.0)
    assert [breaker.failed(100.0) for _ in range(2)] == [False, False]
    assert not breaker.succeeded()
    assert [breaker.failed(100.0) for _ in range(3)] == [False, False, True]
    assert breaker.state is BreakerState.OPEN
    assert not breaker.may_try(100.9)
    assert breaker.may_try(101.0)


def test_each_failed_attempt_doubles_the_pause_up_to_the_longest() -> None:
    breaker, now, pauses = opened(), 101.0, []
    for _ in range(7):
        breaker.failed(now)
        pause = next(pause for pause in range(1, 100) if breaker.may_try(now + pause))
        pauses.append(pause)
        now += pause
    assert pauses == [2, 4, 8, 16, 30, 30, 30]


def test_attempts_that_were_under_way_do_not_lengthen_the_pause() -> None:
    breaker = opened()
    for _ in range(50):
        breaker.failed(100.5)
    assert breaker.may_try(101.0)


def test_a_success_closes_it() -> None:
    breaker = opened()
    assert breaker.succeeded()
    assert not breaker.is_open
    assert not breaker.failed(102.0), "it needs as many failures as before"


def test_a_pause_that_a_wrong_clock_set_is_over() -> None:
    breaker = Breaker(1, 1.0, 30.0)
    breaker.failed(1_000_000.0)
    assert breaker.may_try(100.0)
