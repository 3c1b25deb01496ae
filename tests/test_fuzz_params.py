"""Whatever params.yaml holds, it is accepted or refused in one line."""

import copy
import datetime
import json
import math
import os
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stages.check_params import run
from study.pipeline.params import Refusal, read_params
from study.pipeline.stage import refused_by_the_system
from tests.test_dvc_yaml import ROOT

TEXT = (ROOT / "params.yaml").read_text()
PARAMS = read_params(ROOT / "params.yaml")
HUGE = 10**5000  # more digits than Python turns into text
LONGEST = 2000  # characters of a refusal
TIMES = int(os.environ.get("FAULT_TIMES", 1))  # how-deep faults takes more
UNHURRIED = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}  # as a busy machine is
BOUNDED = settings(derandomize=True, database=None, max_examples=200 * TIMES, **UNHURRIED)
SEEN = Counter()


@pytest.fixture(scope="module")
def folder(tmp_path_factory, record_testsuite_property):
    yield tmp_path_factory.mktemp("project")
    for name, count in SEEN.items():
        record_testsuite_property(name, count)


def accepted(params, folder):
    """Whether the parameters are valid; anything but that and a refusal of one line is a failure of the test.

    An OSError, as of a path that is too long, becomes such a line in study.pipeline.stage.
    """
    try:
        run(params, folder)
    except (Refusal, OSError) as refusal:
        assert isinstance(refusal, Refusal) or refused_by_the_system(refusal)
        assert_is_one_line(refusal)
        return False
    SEEN["accepted"] += 1
    return True


def file_accepted(content, folder):
    """The same of a file that holds these bytes."""
    path = folder / "params.yaml"
    path.write_bytes(content)
    try:
        params = read_params(path)
    except Refusal as refusal:
        assert_is_one_line(refusal)
        return False
    return accepted(params, folder)


def assert_is_one_line(refusal):
    assert len(str(refusal).splitlines()) == 1
    assert len(str(refusal)) <= LONGEST
    SEEN["refused in one line"] += 1


def places(block, path=()):
    """The path of every key and list item, blocks before what they hold."""
    items = block.items() if isinstance(block, dict) else enumerate(block) if isinstance(block, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


PLACES = list(places(PARAMS))


def parent_of(params, place):
    for part in place[:-1]:
        params = params[part]
    return params


def value_at(place):
    return parent_of(PARAMS, place)[place[-1]]


WORDS = [value for value in map(value_at, PLACES) if isinstance(value, str)]


def changed(place, value):
    """The committed parameters with this value in that place."""
    params = copy.deepcopy(PARAMS)
    parent_of(params, place)[place[-1]] = value
    return params


huge = st.sampled_from([1, -1]).map(lambda sign: sign * HUGE)  # not HUGE itself: hypothesis shows what it samples from
scalars = (
    st.integers()
    | st.floats()
    | huge
    | st.sampled_from([2**64, 10**400, 1e-320, -0.0, math.nan, math.inf, 0, 1, 10])
    | st.none()
    | st.booleans()
    | st.text(max_size=8).filter(lambda text: "/" not in text)  # no folder of this machine is to be listed
    | st.binary(max_size=4)
    | st.dates()
    | st.datetimes()
    | st.sampled_from(["a\nb", "\0", "\u2028", "\ud800", "0x10", "digits", "folder", *WORDS])
)
keys = (
    st.text(max_size=6)
    | huge
    | st.sampled_from(["a\nb", "\x85", 1, None, True, math.nan, datetime.date(2001, 1, 1)])
    | st.sampled_from([str(place[-1]) for place in PLACES])
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=3), max_leaves=6
)


@st.composite
def mutated(draw):
    """The committed parameters after one to three changes: a value replaced, a key removed, added, renamed, nested."""
    params = copy.deepcopy(PARAMS)
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.sampled_from(list(places(params))))
        block, key = parent_of(params, place), place[-1]
        change = draw(st.sampled_from(["replace", "remove", "add", "rename", "nest"]))
        if change == "replace":
            block[key] = draw(values)
        elif change == "nest":
            block[key] = draw(st.sampled_from([{key: block[key]}, [block[key]]]))
        elif change == "remove":
            del block[key]
        elif isinstance(block, dict):
            block[draw(keys)] = block.pop(key) if change == "rename" else draw(values)
    return params


def finite(value):
    return not isinstance(value, float) or math.isfinite(value)


@given(mutated())
@BOUNDED
def test_changed_parameters_are_accepted_or_refused_in_one_line(folder, params):
    if accepted(params, folder):
        assert all(finite(parent_of(params, place)[place[-1]]) for place in places(params))


@given(st.sampled_from(PLACES), values)
@BOUNDED
def test_one_changed_value_is_accepted_or_refused_in_one_line(folder, place, value):
    accepted(changed(place, value), folder)


@pytest.mark.parametrize("place", PLACES, ids=lambda place: ".".join(map(str, place)))
def test_no_number_and_no_list_is_without_bounds(folder, place):
    value = value_at(place)
    if isinstance(value, list):
        assert not accepted(changed(place, (value or ["a"]) * 100_000), folder)
    elif value is None or type(value) in (int, float):
        assert not any(accepted(changed(place, end), folder) for end in (10**12, -(10**12), HUGE, -HUGE, math.nan))


# What a YAML reader stumbles over: tags, anchors, dates and numbers that are none, signs of its own, odd characters.
fragments = st.sampled_from(
    [*"[]{},:?-&*!|>%@`'\"#\t\n\0\ufeff", "  ", "- ", "? ", ": ", "<<: ", "--- ", "... ", "&a ", "*a ", "|9\n", ">-\n"]
    + [f"!!{tag} " for tag in ("int", "float", "bool", "null", "str", "seq", "map", "set", "omap", "timestamp")]
    + ["!!binary ", "!!python/object/apply:os.system ", "%YAML 1.1\n---\n", "%TAG ! tag:\n", "2001-02-30", "0x", ".nan"]
    + ["1e999", "-.inf", "1_000", "0o8", "99:99", "9" * 5000, '"\\ud800"', '"\\Uffffffff"', "'\\x00'", "[" * 2000]
    + ["0x" + "f" * 5000, "{? [1] : 2}", "&a [*a]"]
)


@st.composite
def torn(draw):
    """The committed file with a stretch cut out here and there, and something else in its place."""
    text = TEXT
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        end = start + draw(st.sampled_from([0, 0, 1, 5, 1000]))
        text = text[:start] + draw(fragments | st.text(max_size=4)) + text[end:]
    return text.encode("utf-8", "surrogatepass")


@given(torn())
@BOUNDED
def test_a_torn_file_is_accepted_or_refused_in_one_line(folder, content):
    file_accepted(content, folder)


some = fragments | st.text(max_size=4) | st.sampled_from(["1", " ", *map(str, PARAMS)])


@given(st.lists(some, max_size=8).map(lambda parts: "".join(parts).encode("utf-8", "surrogatepass")))
@BOUNDED
def test_any_text_is_refused_in_one_line(folder, content):
    assert not file_accepted(content, folder)


@given(st.binary(max_size=40))
@BOUNDED
def test_any_bytes_are_refused_in_one_line(folder, content):
    assert not file_accepted(content, folder)


def test_the_parameters_as_json_are_as_good(folder):
    assert file_accepted(json.dumps(PARAMS).encode(), folder)
