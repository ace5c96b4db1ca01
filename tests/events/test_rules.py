"""Rules that cannot work are refused in words."""

import pytest

from oddframe.calibration.calibrate import GAP_S
from oddframe.errors import ConfigError
from oddframe.events.rules import Rules


def test_two_bursts_are_one_event_as_they_are_one_peak_of_the_calibration():
    assert Rules().merge_gap_s == GAP_S


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"keep_level": 1.2}, "keep_level 1.2 is above raise_level 1"),
        ({"raise_level": 0.7}, "keep_level 0.8 is above raise_level 0.7"),
        ({"raise_level": 2, "alert_level": 1}, "alert_level 1 is below raise_level 2"),
        ({"merge_gap_s": 0}, "merge_gap_s.*greater than or equal to 1, found 0"),
        ({"update_by": 0.5}, "update_by"),
        ({"min_duration_s": -1}, "min_duration_s"),
        ({"merge_gap": 3}, "Did you mean merge_gap_s"),
        ({"raise_level": float("nan")}, "raise_level"),
    ],
)
def test_what_cannot_work_is_refused(values, words):
    with pytest.raises(ConfigError, match=words):
        Rules.read(values)


def test_levels_may_be_equal():
    rules = Rules.read({"raise_level": 2, "keep_level": 2, "alert_level": 2})
    assert (rules.keep_level, rules.alert_level) == (2, 2)


def test_whoever_raises_the_level_alone_raises_that_of_alerts_with_it():
    assert Rules().alert_from == 1
    assert Rules().override(["raise_level=1.2"]).alert_from == 1.2
    assert Rules(raise_level=0.9).alert_from == 1
    assert Rules(raise_level=1.2, alert_level=3).alert_from == 3
