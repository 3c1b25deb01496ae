from lab.benchmarks.measuring import clock as module
from lab.benchmarks.measuring.clock import Clock


def test_the_clock_stands_still_while_it_is_paused(monkeypatch):
    now = iter([0.0, 10.0, 14.0, 20.0])  # made, paused, goes on, asked
    monkeypatch.setattr(module.time, "perf_counter", lambda: next(now))
    clock = Clock()
    with clock.paused():
        pass
    clock.judged(0.5)
    assert clock.curve == [(20.0 - (14.0 - 10.0), 0.5)]
