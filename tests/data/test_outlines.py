"""Masks as the outlines that an annotator would draw."""

from __future__ import annotations

import numpy as np

from oddframe.data.masks import outlines


def test_a_hole_belongs_to_the_thing_around_it_and_the_rest_does_not():
    mask = np.zeros((240, 360), bool)
    mask[100:130, 50:90] = True
    whole = mask.copy()
    mask[110:120, 60:80] = False  # between the wheels
    assert (outlines(mask) == whole).all()


def test_two_things_far_apart_stay_two():
    mask = np.zeros((240, 360), bool)
    mask[10:20, 10:20] = mask[200:210, 300:320] = True
    assert (outlines(mask) == mask).all()


def test_a_thin_railing_in_front_cuts_nothing_in_two():
    mask = np.zeros((240, 360), bool)
    mask[50:100, 50:100] = True
    cut = mask.copy()
    cut[74:77] = False
    assert (outlines(cut) == mask).all()


def test_an_empty_mask_stays_empty_and_no_pixel_is_lost():
    assert not outlines(np.zeros((48, 64), bool)).any()
    mask = np.random.default_rng(0).random((48, 64)) > 0.97
    assert outlines(mask)[mask].all()
