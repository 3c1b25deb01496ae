from lab.benchmarks.measuring.curve import from_text, seconds_to, started, to_text

CURVE = [(0.0, 0.1), (10.0, 0.5), (20.0, 0.4), (30.0, 0.8)]


def test_an_accuracy_between_two_epochs_is_reached_in_proportion():
    assert seconds_to(CURVE, 0.3) == 0.0 + 10.0 * (0.3 - 0.1) / (0.5 - 0.1)
    assert seconds_to(CURVE, 0.7) == 20.0 + 10.0 * (0.7 - 0.4) / (0.8 - 0.4)


def test_the_first_time_counts_where_an_accuracy_is_reached_twice():
    assert seconds_to(CURVE, 0.45) < 10.0


def test_an_accuracy_above_the_curve_is_never_reached():
    assert seconds_to(CURVE, 0.81) is None


def test_what_came_before_a_training_delays_it():
    assert seconds_to(started([(10.0, 0.5)], 100.0, 0.1), 0.5) == 110.0


def test_a_curve_survives_its_cell():
    assert from_text(to_text(CURVE)) == CURVE
