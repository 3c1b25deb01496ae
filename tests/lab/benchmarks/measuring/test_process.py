import json
from multiprocessing import get_start_method

from lab.benchmarks.measuring.process import apart


def test_a_fresh_process_returns_what_the_function_does():
    assert apart(json.loads, "[1, 2]") == [1, 2]


def test_a_fresh_process_starts_its_own_as_this_machine_does():
    assert apart(eval, "__import__('multiprocessing').get_start_method()") == get_start_method()
