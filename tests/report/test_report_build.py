"""From a run and its evaluation to the page's data."""

import dataclasses
import warnings

import numpy as np
import pytest

import oddframe
from oddframe.data import open_dataset
from oddframe.errors import OddframeWarning
from oddframe.evaluation.evaluate import evaluate
from oddframe.judging.floors import FLOORS
from oddframe.judging.named import parse_protocols
from oddframe.report.build import Said, build_report, look
from oddframe.runs import load_run
from oddframe.sources import Reading

MEMORY = {
    "common": {"items": 2048, "in_use": 14},
    "motion": {"items": 64, "in_use": 6, "resets": 3},
}


@pytest.fixture(scope="module")
def built(shared_run, labelled):
    """`built(card)`: the report's data of a run with that card beside its own."""
    detector, dataset = oddframe.load(shared_run), open_dataset(labelled)
    found = evaluate(detector, dataset, parse_protocols("deploy"), regions=False)

    def build(shown=None, **card):
        run = load_run(shared_run)
        run = dataclasses.replace(run, card={**run.card, **card})
        made = build_report(run, detector, dataset, found, Said("t", shown=shown or {}))
        return made, found, detector

    return build


def training(**more):
    return {
        "frames": 1, "held_out": 1, "minutes": 1, "steps": 1, "epochs": 1.0, "device": "cpu",
        "threads": 1, **more,
    }  # fmt: skip


def test_items_in_use_of_each_memory_are_among_the_facts(built):
    facts = built(training=training(memory=MEMORY))[0].facts
    assert facts["memory items in use"] == "common 14 of 2,048, motion 6 of 64"


@pytest.mark.parametrize("card", [{}, {"training": training()}, {"training": training(memory={})}])
def test_nothing_is_said_of_memories_that_are_not_there(built, card):
    assert "memory items in use" not in built(**card)[0].facts


def test_every_video_has_the_papers_curve_beside_its_score(built):
    data, found, detector = built()
    assert data.paper_curve == detector.curve_name == "anomaly score"
    for shown, video in zip(data.timelines, found.videos, strict=True):
        np.testing.assert_array_equal(shown.paper, detector.paper_curve(video.terms))
        assert np.nanmax(shown.paper) == 1
        np.testing.assert_array_equal(shown.labels, video.labels)
    assert [(c.method, c.protocol) for c in data.rocs] == [
        (m, "deploy") for m in ("m2s2l-edge", *FLOORS)
    ]


def test_where_each_light_has_a_threshold_curves_are_levels(built, shared_run, labelled):
    _, found, detector = built()
    lights = {light: {"threshold": 4.0} for light in ("colour", "infrared")}
    run = load_run(shared_run)
    run = dataclasses.replace(run, calibration={**run.calibration, "modes": lights, "text": ""})
    data = build_report(run, detector, open_dataset(labelled), found, Said("t"))
    for shown, video in zip(data.timelines, found.videos, strict=True):
        assert shown.threshold == 1
        np.testing.assert_array_equal(shown.score, video.level)
    assert any("threshold for each light" in note for note in data.notes)


def test_a_moment_is_looked_at_as_it_was_scored(shared_run, write_street, tmp_path):
    folder = write_street(tmp_path / "set" / "a", range(24), 14)
    for fps, rate in ((None, None), (10.0, 25.0)):  # every frame; two of five
        run = load_run(shared_run)
        detector = oddframe.load(dataclasses.replace(run, card={**run.card, "fps": fps}))
        video = open_dataset(folder.parent, reading=Reading(fps=rate)).train[0]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", OddframeWarning)  # of the rate
            with video.open() as source:
                scores = list(detector.stream(source))
            image, heat = look(detector, video, 20)
        np.testing.assert_array_equal(heat, scores[20].heat)
        with video.open() as source:
            np.testing.assert_array_equal(image, list(source)[20].image)


def test_captions_say_what_is_there_where_that_is_known(built):
    plain, found, _ = built()
    shown = {v.name: ["wrong way" if y else "" for y in v.labels] for v in found.videos}
    told = built(shown=shown)[0]
    kinds = {m.kind for m in told.moments}
    assert {"hit", "false-alarm"} <= kinds
    for bare, moment in zip(plain.moments, told.moments, strict=True):
        what = "" if moment.kind == "false-alarm" else "Wrong way in "
        assert moment.caption == what + bare.caption
