"""The demo's figures per kind of anomaly."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace

import numpy as np
import pytest

from oddframe.cli import main
from oddframe.cli.console import frame_bar
from oddframe.demo import check_own, demo_scene, kind_aucs, kinds_shown, kinds_text


def evaluation(*videos):
    """`videos`: (name, scores, labels)."""
    return SimpleNamespace(
        videos=[
            SimpleNamespace(name=n, score=np.array(s, float), labels=np.array(y, np.uint8))
            for n, s, y in videos
        ]
    )


def test_each_kind_stands_against_all_normal_frames_of_the_set(tmp_path):
    boxes = {
        "1": [[], [], [{"kind": "cart"}], []],
        "2": [[], [{"kind": "runner"}], [{"kind": "runner"}], []],
    }
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    nan = float("nan")
    found = evaluation(
        ("1", [nan, 1, 5, 2], [0, 0, 1, 0]),
        ("2", [nan, 0, 9, 3], [0, 1, 1, 0]),
    )
    # Normal frames score 1, 2 and 3, the first frames have no score yet.
    assert kind_aucs(found, tmp_path) == {"cart": 1.0, "runner": 0.5}


def test_a_box_too_small_to_count_is_no_abnormal_frame(tmp_path):
    (tmp_path / "boxes.json").write_text(json.dumps({"1": [[{"kind": "cart"}]] * 3}))
    found = evaluation(("1", [4, 1, 2], [0, 0, 1]))
    assert kind_aucs(found, tmp_path) == {"cart": 0.5}


def test_each_kind_is_said_with_its_figure():
    text = kinds_text({"cart": 0.987, "left_object": 0.55})
    assert text == "AUC % per kind, deploy: cart 98.7, left_object 55.0."


def test_the_demo_scene_holds_every_kind_twice():
    scene = demo_scene(3)
    assert len(set(scene.kinds)) == 5
    assert scene.test_clips == 2 * len(scene.kinds)
    assert scene.seed == 3


def test_what_is_in_the_picture_is_said_frame_by_frame(tmp_path):
    boxes = {"1": [[], [{"kind": "wrong_way"}, {"kind": "cart"}, {"kind": "cart"}]]}
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    assert kinds_shown(tmp_path) == {"1": ["", "cart, wrong way"]}


def test_a_demo_fills_no_folder_of_somebody_elses(tmp_path, capsys):
    out = tmp_path / "home"
    check_own(out)  # it makes it
    out.mkdir()
    check_own(out)
    (out / "scene").mkdir()
    check_own(out)  # a demo that was broken off
    for name in ("thesis.tex", "photos"):
        (out / name).mkdir()
    assert main(["demo", "--out", str(out)]) == 1
    said = capsys.readouterr().err
    assert "photos and 1 more, which no demo made" in " ".join(said.split())
    assert sorted(p.name for p in out.iterdir()) == ["photos", "scene", "thesis.tex"]
    file = tmp_path / "file"
    file.touch()
    assert main(["demo", "--out", str(file)]) == 1


@pytest.mark.parametrize("total", [None, 200])
def test_where_a_bar_cannot_be_drawn_a_line_comes_now_and_then(monkeypatch, capsys, total):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with frame_bar("drawing") as tick:
        for done in range(1, 101):
            now[0] += 1.0
            tick(done, total)
    lines = capsys.readouterr().err.splitlines()
    left = (
        "" if total is None else [", about 3 min left", ", about 2 min left", ", about 2 min left"]
    )
    of = "" if total is None else " of 200"
    assert [line.rstrip() for line in lines] == [
        f"drawing: {done}{of} frames{left[i] if left else ''}"
        for i, done in enumerate((31, 62, 93))
    ]
