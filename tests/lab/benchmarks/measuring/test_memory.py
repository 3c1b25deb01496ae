import time
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, PAGESIZE, mmap

import pytest

from lab.benchmarks.measuring.memory import STATUS, watched

BLOCK = 200 << 20  # bytes


@pytest.mark.skipif(not STATUS.exists(), reason="without /proc")
def test_what_a_process_allocates_while_it_is_watched_is_its_own():
    with watched() as peak:
        before = peak.own
        with mmap(-1, BLOCK, flags=MAP_PRIVATE | MAP_ANONYMOUS) as held:
            held[::PAGESIZE] = b"x" * (BLOCK // PAGESIZE)
            while peak.own - before < 0.9 * BLOCK:  # until it has been looked at
                time.sleep(0.01)
    assert peak.own - before < 1.5 * BLOCK
