"""The record of who changed what: written, read in pages, bounded, made in stores of before."""

from __future__ import annotations

from dataclasses import replace

import pytest

from oddframe.events.store import Store, StoreError, audit
from oddframe.events.store.audit import Audit

ROW = Audit(1.5, "boss", "10.0.0.1", "PUT", "/api/x", '{"a": 1}', 200)


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "store") as made:
        yield made


def test_rows_come_back_the_newest_first(store):
    for n in range(5):
        store.audit(replace(ROW, status=n))
    found = store.audits(3)
    assert [row.status for row in found] == [4, 3, 2]
    assert replace(found[0], id=0) == replace(ROW, status=4)
    assert [row.status for row in store.audits(9, before=found[-1].id)] == [1, 0]
    assert store.audits(9, before=0) == []


def test_the_oldest_beyond_the_bound_go(store, monkeypatch):
    monkeypatch.setattr(audit, "MOST_ROWS", 10)
    for n in range(25):
        store.audit(replace(ROW, status=n))
    assert [row.status for row in store.audits(100)] == list(range(24, 14, -1))


def test_who_guesses_pushes_out_nothing_of_others(store, monkeypatch):
    monkeypatch.setattr(audit, "MOST_ROWS", 100)
    monkeypatch.setattr(audit, "MOST_STRANGERS", 5)
    for n in range(10):
        store.audit(replace(ROW, status=n))
    for n in range(50):
        store.audit(replace(ROW, who="", status=400 + n))
    found = store.audits(100)
    assert [row.status for row in found if row.who] == list(range(9, -1, -1))
    assert [row.status for row in found if not row.who] == [449, 448, 447, 446, 445]


def test_rows_stay_over_a_restart(tmp_path):
    with Store(tmp_path) as store:
        store.audit(ROW)
    with Store(tmp_path) as store:
        assert len(store.audits()) == 1


def test_odd_text_is_kept_as_it_is(store):
    store.audit(replace(ROW, path="/\0ü'--", body="\u2028"))
    [row] = store.audits()
    assert (row.path, row.body) == ("/\0ü'--", "\u2028")


def test_a_store_that_is_closed_says_so(tmp_path):
    store = Store(tmp_path)
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.audit(ROW)
