"""The demo's figures per kind of anomaly."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np

from oddframe.cli.demo import demo_scene, kind_aucs, kinds_text


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
