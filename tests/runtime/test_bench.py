"""The timing harness."""

from __future__ import annotations

import time

from oddframe.runtime.bench import bench_scan, interleaved


def test_the_slower_job_has_the_longer_minimum():
    best = interleaved(
        {"short": lambda: time.sleep(0.001), "long": lambda: time.sleep(0.01)}, repeats=3
    )
    assert 0.001 <= best["short"] < best["long"]


def test_scan_reports_every_backend_with_ratios():
    found = bench_scan(length=64, channels=4, state=1)
    rows = {row["name"]: row for row in found["rows"]}
    assert len(rows) == 4
    assert rows["loop, forward"]["ratio"] == 1
    assert all(row["ms"] > 0 for row in rows.values())
