"""An event in words, shares and JSON."""

import json
import math

import numpy as np
import pytest
from overthere import START, told

from oddframe.sinks.words import as_json, iso, reasons, sentence, share, title


def test_times_are_iso_with_z():
    assert iso(START) == "2026-09-10T00:26:40.250Z"
    assert iso(0.0) == "1970-01-01T00:00:00.000Z"


def test_shares_rise_with_levels_and_stay_between_0_and_1():
    levels = [0.0, 0.2, 0.99, 1.0, 1.5, 2.0, 10.0, 1e6]
    shares = [share(level) for level in levels]
    assert shares == sorted(set(shares))
    assert 0 <= min(shares) < max(shares) < 1
    assert share(1.0) == 0.5


def test_reasons_are_cut_and_never_empty():
    event = told(reasons=("a" * 70, "b" * 70)).event
    assert len(reasons(event, 100)) == 100
    assert reasons(event, 100).endswith("…")
    assert reasons(told(reasons=()).event, 100) == "unlike anything it has learnt"


def test_a_sentence_says_why_where_and_how_long():
    said = sentence(told("end", reasons=("moves fast",)).event)
    assert said == (
        "Moves fast. Level 2.0 (1 is the threshold) in stairs at 2026-09-10T00:26:40.250Z for 20 s."
    )
    assert title(told(severity="alert").event) == "Alert: gate"


@pytest.mark.parametrize("bad", [math.nan, math.inf, np.float32("nan")])
def test_json_has_no_nan_and_takes_numpy(bad):
    text = as_json({"a": [bad, 1.5], "b": {"c": np.float32(0.5)}, "d": "ü"})
    assert json.loads(text) == {"a": [None, 1.5], "b": {"c": 0.5}, "d": "ü"}
    assert "ü" in text
