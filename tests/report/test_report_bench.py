"""The picture of a bench."""

import xml.etree.ElementTree as ET

import pytest

from oddframe.report.bench import LABELS, MARGIN, bench_svg

MACHINE = {"threads": 2, "cores": 2, "cpu_capability": "AVX512", "torch": "2"}


def table(rows, *keys):
    columns = [{"key": key, "head": key, "meaning": ""} for key in keys]
    return {"title": "one < two", "columns": columns, "rows": rows}


def boxes(svg):
    """The bars of a picture: (x, width, colour)."""
    root = ET.fromstring(svg)
    found = [e.attrib for e in root.iter() if e.tag.endswith("rect") and e.get("height") == "15"]
    return [(float(e["x"]), float(e["width"]), e["fill"]) for e in found]


def test_bars_are_as_long_as_their_rows_take():
    rows = [{"name": "a & b", "ms": 200.0}, {"name": "c", "ms": 50.0}]
    svg = bench_svg({"machine": MACHINE, "tables": [table(rows, "ratio")]})
    (x0, first, _), (x1, second, _) = boxes(svg)
    assert x0 == x1 == MARGIN + LABELS
    assert first == pytest.approx(4 * second, abs=0.5)
    assert "200 ms" in svg
    assert "50 ms" in svg
    assert "a &amp; b" in svg


@pytest.mark.parametrize(("parts", "count"), [((40.0, 30.0), 3), ((80.0, 60.0), 2)])
def test_a_whole_is_divided_into_its_parts_and_the_rest(parts, count):
    def row(name, ms):
        return {"name": name, "ms": 10 * ms, "ms_per_frame": ms, "share": ms / 100}

    rows = [row("other way", 90.0), row("whole", 100.0)]
    rows += [row(f"part {i}", ms) for i, ms in enumerate(parts)]
    svg = bench_svg({"machine": MACHINE, "tables": [table(rows, "share")]})
    (_, other, _), *found = boxes(svg)
    assert len(found) == count
    for (_, width, _), ms in zip(found, (*parts, 100 - sum(parts)), strict=False):
        assert width / other == pytest.approx(ms / 90, abs=0.01)
    ends = [x + width for x, width, _ in found]
    assert [x for x, _, _ in found[1:]] == pytest.approx(ends[:-1], abs=0.2)
    assert len({colour for _, _, colour in found}) == count
    assert "100 ms a frame" in svg
    assert ("rest 30" in svg) == (count == 3)
