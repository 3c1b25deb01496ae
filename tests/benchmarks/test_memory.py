import time

import pytest

from benchmarks.memory import STATUS, watched

BLOCK = 200 << 20  # bytes


@pytest.mark.skipif(not STATUS.exists(), reason="without /proc")
def test_what_a_process_allocates_while_it_is_watched_is_its_own():
    with watched() as peak:
        before = peak.own
        held = b"x" * BLOCK
        time.sleep(0.2)
    assert 0.9 * len(held) < peak.own - before < 1.5 * len(held)
