"""The curves of the report page are of the score that its first row is about."""

from __future__ import annotations

import numpy as np
import pytest

import oddframe
from oddframe.data import open_dataset
from oddframe.evaluation.evaluate import evaluate
from oddframe.judging.named import parse_protocols
from oddframe.report.build import Said, build_report
from oddframe.report.page import render
from oddframe.runs import load_run


def reported(run, root, names):
    loaded, dataset = load_run(run), open_dataset(root)
    detector = oddframe.load(loaded)
    found = evaluate(detector, dataset, parse_protocols(names), floors=[], regions=False)
    return build_report(loaded, detector, dataset, found, Said("t")), found


def test_under_paper_the_curves_are_the_papers_score_as_judged(shared_run, labelled):
    data, found = reported(shared_run, labelled, "paper")
    for line, video in zip(data.timelines, found.videos, strict=True):
        psnr = -(0.5 * video.terms["psnr_frame"] + 0.5 * video.terms["psnr_motion"])[4:]
        want = (psnr - psnr.min()) / np.ptp(psnr)
        np.testing.assert_allclose(line.score[4:], want)
        assert np.isnan(line.score[:4]).all()
        assert line.threshold is None  # which was found for the causal score
    page = render(data)
    assert "The curves show what is judged (m2s2l-edge, paper)" in page
    data, _ = reported(shared_run, labelled, "paper+normalise=global")
    both = np.concatenate([line.score[4:] for line in data.timelines])
    assert (both.min(), both.max()) == (0, 1)
    assert min(line.score[4:].max() for line in data.timelines) < 1


def test_a_sum_of_rescaled_terms_is_drawn_as_it_is_judged(added_runs, labelled):
    data, found = reported(added_runs["mnad"], labelled, "paper,ffp")
    detector = oddframe.load(added_runs["mnad"])
    for line, video in zip(data.timelines, found.videos, strict=True):
        np.testing.assert_allclose(line.score, detector.paper_score(video.terms))
        assert np.nanmax(line.score) < 1  # rescaled once more it would be 1


@pytest.mark.parametrize("names", ["all", "deploy", "raw", "deploy+drop=20,paper"])
def test_the_causal_score_keeps_its_threshold_and_its_first_frames(shared_run, labelled, names):
    data, found = reported(shared_run, labelled, names)
    for line, video in zip(data.timelines, found.videos, strict=True):
        np.testing.assert_array_equal(line.score, video.score)
        assert line.threshold == 3.0
    assert "The curves show" not in render(data)
