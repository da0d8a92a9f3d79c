from __future__ import annotations

from tinygrad_seq.train.pace import Pace


def test_the_speed_is_that_of_the_last_steps_without_the_first() -> None:
    pace = Pace()
    assert (pace.is_new, pace.tokens_per_second, pace.seconds_left(10, 10)) == (True, None, None)
    pace.add_step(100, 60.0)
    assert (pace.is_new, pace.tokens_per_second) == (False, None)
    for _ in range(150):
        pace.add_step(100, 1.0)
    assert pace.tokens_per_second == 100
    for _ in range(100):
        pace.add_step(50, 2.0)
    assert pace.tokens_per_second == 25


def test_the_time_left_counts_evaluations_as_they_were_measured() -> None:
    pace = Pace()
    for seconds in (9.0, 1.0, 1.0):
        pace.add_step(300, seconds)
    assert pace.seconds_left(10, 900) == 10 + 900 / 300 / 3  # an estimate until one has been measured
    pace.add_evaluation(900, 30.0)  # compiles
    assert pace.seconds_left(10, 900) == 11
    pace.add_evaluation(900, 2.0)
    assert pace.seconds_left(10, 1800) == 14
