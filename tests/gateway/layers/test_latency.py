"""What is believed of how long an upstream takes."""

from __future__ import annotations

import math

from embedway_gateway.layers.latency import PeakEWMA, Quantile


def test_a_slow_answer_counts_at_once_and_fades() -> None:
    latency = PeakEWMA()
    assert 0.0 == latency.seconds(5.0)
    latency.observe(0.1, 10.0)
    latency.observe(2.0, 11.0)

    assert 2.0 == latency.seconds(11.0)
    assert math.isclose(2.0 * math.exp(-1), latency.seconds(21.0))
    assert 2.0 == latency.last


def test_quick_answers_lower_it_with_time() -> None:
    latency = PeakEWMA()
    latency.observe(2.0, 0.0)
    for second in range(1, 61):
        latency.observe(0.1, float(second))

    assert 0.1 <= latency.last < 0.12


def test_a_call_that_was_given_up_only_raises_it() -> None:
    latency = PeakEWMA()
    latency.observe(1.0, 0.0)
    latency.lasted(0.2, 0.0)
    assert 1.0 == latency.last
    latency.lasted(3.0, 0.0)

    assert 3.0 == latency.last


def test_a_quantile_is_of_the_latest_values() -> None:
    quantile = Quantile(0.95)
    for value in range(19):
        quantile.add(value)
    assert quantile.value is None
    for value in range(19, 100):
        quantile.add(value)
    assert 95 == quantile.value
    for _ in range(200):
        quantile.add(7.0)

    assert 7.0 == quantile.value
