"""The places of a worker: shares of kinds, slow deliveries, receivers that do not answer."""

from __future__ import annotations

from sso.platform.outbox.places import FAILURES, Place, Places


def fill(places: Places, kind: str, receiver: str | None = None, now: float = 0.0) -> list[Place]:
    """Take every place that a kind gets."""
    taken = []
    while (place := places.take(kind, receiver and f"{receiver}{len(taken)}", now)) is not None:
        taken.append(place)
    return taken


def test_two_kinds_that_hang_leave_a_share_to_every_other_kind() -> None:
    places = Places(32, 8)
    assert len(fill(places, "notice")) == 32
    assert places.full_kinds() == ["notice"]
    assert len(fill(places, "webhook", "hook")) == 4
    assert len(fill(places, "backchannel_logout", "app")) == 4, "an eighth is kept for each kind"


def test_one_place_is_enough_for_every_kind() -> None:
    places = Places(1, 8)
    assert [len(fill(places, kind)) for kind in ("notice", "webhook", "message")] == [1, 1, 1]


def test_a_slow_delivery_leaves_its_place_and_its_receiver_gets_one_at_a_time() -> None:
    places = Places(8, 8)
    slow = [places.take("x", "slow.example", 0.0) for _ in range(3)]
    for place in slow:
        assert place is not None
        places.delay(place)
    assert (places.used, places.slow) == (0, 3)
    assert places.full_receivers(1.0) == ["slow.example"]
    for place in slow[:2]:
        assert place is not None
        places.leave(place, 1.0, answered=None)
    assert places.take("x", "slow.example", 1.0) is None, "one is on its way"
    assert slow[2] is not None
    places.leave(slow[2], 1.0, answered=True)
    assert len([place for place in (places.take("x", "slow.example", 1.0) for _ in range(9)) if place]) == 8


def test_a_receiver_that_is_slow_but_answers_keeps_its_places() -> None:
    places = Places(8, 8)
    first, second = (places.take("x", "slow.example", 0.0) for _ in range(2))
    assert first is not None
    assert second is not None
    places.leave(first, 0.4, answered=True)
    places.delay(second)
    third = places.take("x", "slow.example", 0.5)
    assert third is not None
    places.delay(third)
    assert places.take("x", "slow.example", 1.0) is None, "none has succeeded since the third began"


def test_slow_deliveries_are_bounded_and_the_next_one_leaves_when_there_is_room() -> None:
    places = Places(2, 100)
    taken = []
    for number in range(10):
        place = places.take("x", f"app{number}", 0.0)
        assert place is not None
        places.delay(place)
        taken.append(place)
    assert (places.used, places.slow) == (2, 8)
    assert places.take("x", "app10", 0.0) is None
    places.leave(taken[0], 1.0, answered=False)
    assert (places.used, places.slow) == (1, 8)
    assert taken[8].is_slow


def test_after_three_failures_a_receiver_gets_one_delivery_after_each_pause() -> None:
    places, now = Places(8, 8), 100.0
    for _ in range(FAILURES):
        place = places.take("x", "dead.example", now)
        assert place is not None
        places.leave(place, now, answered=False)
    assert places.open_breakers() == {"x": 1}
    assert places.take("x", "dead.example", now + 0.9) is None
    probe = places.take("x", "dead.example", now + 1)
    assert probe is not None
    assert probe.is_slow, "it takes no place of others"
    assert places.take("x", "dead.example", now + 1) is None
    places.leave(probe, now + 1, answered=True)
    assert not places.open_breakers()
    assert places.full_receivers(now + 1) == []


def test_a_place_that_nothing_is_known_of_opens_no_breaker() -> None:
    places = Places(8, 8)
    for _ in range(10):
        place = places.take("x", None, 0.0)
        assert place is not None
        places.leave(place, 0.0, answered=None)
    assert (places.used, places.slow, places.open_breakers()) == (0, 0, {})


def test_an_application_cannot_stop_the_notices_of_another_one_at_the_same_host() -> None:
    """Any team may register an address at the host of another application, where something hangs or answers 503."""
    places = Places(32, 8)
    attacks = [places.take("x", "city.example", 0.0, "attacker") for _ in range(8)]
    assert places.take("x", "city.example", 0.0, "victim") is None, "a host gets so many at the same time"
    assert places.full_hosts() == ["city.example"]
    for place in attacks:
        assert place is not None
        places.delay(place)
    assert places.full_hosts() == [], "those of an application in doubt do not count"
    assert places.take("x", "other.example", 0.3, "attacker") is None, "in doubt, whatever address it registers"
    notice = places.take("x", "city.example", 0.3, "victim")
    assert notice is not None
    for place in attacks:
        assert place is not None
        places.leave(place, 5.0, answered=False)
    assert places.open_breakers() == {"x": 1}
    assert not notice.is_slow
    assert places.take("x", "city.example", 5.0, "attacker") is None
    assert len([place for place in (places.take("x", "city.example", 5.0, "victim") for _ in range(9)) if place]) == 7


def test_nothing_is_remembered_of_who_was_never_in_doubt() -> None:
    places = Places(8, 8)
    for number in range(100):
        place = places.take("x", f"host{number}.example", 0.0)
        assert place is not None
        places.leave(place, 0.0, answered=None)
    assert not places._receivers
    assert not places._at_hosts
