"""Charts: ticks, spans, and thinning of long series."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oddframe.report import plot

NAN = float("nan")


def slow_columns(x, y, columns):
    """Lowest and highest finite value of every pixel column, one sample at a time."""
    found = {}
    for a, b in zip(x.tolist(), y.tolist(), strict=True):
        if np.isfinite(b):
            c = min(max(int(a * columns), 0), columns - 1)
            low, high = found.get(c, (b, b))
            found[c] = (min(low, b), max(high, b))
    return found


@settings(max_examples=60, deadline=None)
@given(
    y=st.lists(st.one_of(st.floats(-1e6, 1e6), st.just(NAN)), min_size=1, max_size=300),
    columns=st.integers(1, 40),
)
def test_downsampling_keeps_every_columns_extremes(y, columns):
    y = np.array(y)
    x = np.linspace(0, 1, len(y))
    runs = plot.downsample(x, y, columns)
    kept = np.concatenate(runs) if runs else np.zeros(0, int)
    assert slow_columns(x[kept], y[kept], columns) == slow_columns(x, y, columns)
    assert (np.diff(kept) > 0).all()


def test_downsampling_makes_a_long_series_small_and_keeps_its_one_spike():
    y = np.random.default_rng(0).normal(size=100_000)
    y[31_234] = 99.0
    runs = plot.downsample(np.linspace(0, 1, len(y)), y, 900)
    assert len(runs) == 1
    assert 31_234 in runs[0]
    assert len(runs[0]) <= 2 * 900 + 2


def test_flickering_gaps_do_not_shatter_a_long_series():
    y = np.ones(100_000)
    y[::2] = NAN
    assert len(plot.path_data(np.linspace(0, 1, len(y)), y)) < 30_000


def test_wide_gaps_break_the_line_and_lone_samples_become_dots():
    x = np.linspace(0, 1, 100)
    y = np.where((x < 0.3) | (x > 0.995), 0.5, NAN)
    d = plot.path_data(x, y, 50)
    assert d.count("M") == 2
    assert d.endswith("h0")
    assert plot.path_data(x, np.full(100, NAN)) == ""


def slow_spans(x, flags):
    """Spans by walking; no joining."""
    step = float(np.median(np.diff(x))) if len(x) > 1 else 1.0
    edges = [*x.tolist(), x[-1] + step]
    spans, start = [], None
    for i, on in enumerate([*flags, False]):
        if on and start is None:
            start = edges[i]
        if not on and start is not None:
            spans.append((start, edges[i]))
            start = None
    return spans


@settings(max_examples=60, deadline=None)
@given(flags=st.lists(st.booleans(), min_size=1, max_size=200))
def test_flag_spans_equal_the_walked_ones(flags):
    x = np.arange(len(flags)) / 10  # up to 200 samples: no gap is below a thousandth
    assert plot.flag_spans(x, np.array(flags)) == slow_spans(x, flags)


def test_flickering_labels_stay_few():
    spans = plot.flag_spans(np.arange(100_000.0), np.arange(100_000) % 2)
    assert len(spans) == 1


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-3, 7.3), (0, 1e-9), (1e6, 1.1e6), (-5, -4)])
def test_ticks_are_few_and_inside(low, high):
    for make in (plot.nice_ticks, plot.time_ticks):
        ticks = make(low, high, 5)
        assert 2 <= len(ticks) <= 12
        assert all(low - 1e-9 <= t <= high + 1e-9 for t in ticks)


@pytest.mark.parametrize(("low", "high"), [(1e-6, 1e3), (0.2, 0.9), (0.031, 0.033), (1, 10)])
def test_log_ticks_are_few_and_inside(low, high):
    ticks = plot.log_ticks(low, high)
    assert 1 <= len(ticks) <= 12
    assert all(low * 0.999 <= t <= high * 1.001 for t in ticks)


@pytest.mark.parametrize("value", [0.0, 3.0, -2.0, 1e-12, NAN])
def test_an_axis_over_one_value_still_has_a_width(value):
    axis = plot.span_axis(value, value, pad=0.1)
    assert axis.high > axis.low
    assert axis.ticks()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (75, "1:15"), (2.5, "0:02.5"), (3725, "1:02:05"), (59.96, "1:00"), (-3, "−0:03")],
)
def test_clock(seconds, text):
    assert plot.clock(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (NAN, "–"),
        (3, "3"),
        (2026, "2026"),
        (1234567, "1\u202f234\u202f567"),
        (0.000012345, "1.234e-5".replace("-", "−")),
        (-0.5, "−0.5"),
        ("text", "text"),
        (np.float32(0.25), "0.25"),
        (True, "True"),
    ],
)
def test_number(value, text):
    assert plot.number(value) == text


def test_chart_values_can_be_read_back_to_a_ten_thousandth_of_the_axis():
    x, y = np.array([0.0, 1.0, 2.0]), np.array([0.5, 3.25, 1.0])
    html = plot.chart(
        [plot.Line("score", x, y)],
        plot.Axis(0, 2, time=True),
        plot.Axis(0, 4),
        label="<b>",
        ident="v0",
        threshold=2.0,
    )
    assert "<b>" not in html
    d = re.search(r'data-name="score" d="M([^"]+)"', html).group(1)
    numbers = np.array(d.split(), float).reshape(-1, 2)
    assert np.allclose(numbers[:, 0] / 1e4 * 2, x, atol=2e-4)
    assert np.allclose((1 - numbers[:, 1] / 1e4) * 4, y, atol=4e-4)
