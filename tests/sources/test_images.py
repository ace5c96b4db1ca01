"""Folders of frames: order, kinds of pictures, and what is wrong with some of them."""

import cv2
import numpy as np
import pytest

from oddframe.errors import ConfigError, SourceError
from oddframe.sources import natural_key, open_source


def save(path, value):
    assert cv2.imwrite(str(path), np.full((10, 12, 3), value, np.uint8))


def test_frames_come_in_the_order_of_their_numbers_not_of_their_names(tmp_path):
    for number in (10, 2, 1, 100):
        save(tmp_path / f"{number}.png", number)
    with open_source(tmp_path) as source:
        frames = list(source)
    assert [f.image[0, 0, 0] for f in frames] == [1, 2, 10, 100]
    assert [f.index for f in frames] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["b2", "a10", "c1"], ["c1", "b2", "a10"]),  # one number each: it alone decides
        (["s2_f1", "s1_f10", "s1_f2"], ["s1_f2", "s1_f10", "s2_f1"]),
        (["frame-10", "frame-9"], ["frame-9", "frame-10"]),
    ],
    ids=["one number", "two numbers", "a minus sign is no sign"],
)
def test_sort_order(tmp_path, names, expected):
    for value, name in enumerate(names):
        save(tmp_path / f"{name}.png", value)
    values = [f.image[0, 0, 0] for f in open_source(tmp_path)]
    assert [names[v] for v in values] == expected


def test_natural_key_orders_mixed_names():
    names = ["b", "10", "a2", "2", "a10"]
    assert sorted(names, key=natural_key) == ["2", "10", "a2", "a10", "b"]


def test_frame_number_is_certain_and_fps_can_be_given(make_frames, tmp_path):
    source = open_source(make_frames(tmp_path / "cam", frames=5))
    assert (source.info.frames, source.info.fps, source.info.name) == (5, 25.0, "cam")
    assert (source.info.width, source.info.height) == (64, 48)
    slow = open_source(tmp_path / "cam", fps=10.0)
    assert [f.pts_s for f in slow] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert len(list(slow)) == 5  # again from the start


def test_hidden_and_junk_files_are_no_frames(make_frames, tmp_path):
    make_frames(tmp_path, frames=2)
    for name in ("._000.png", "Thumbs.db", ".DS_Store"):
        (tmp_path / name).write_bytes(b"junk")
    assert len(list(open_source(tmp_path))) == 2


def test_grey_16_bit_and_alpha_become_three_equal_channels_of_8_bit(tmp_path):
    deep = (np.arange(120, dtype=np.uint16) * 500).reshape(10, 12)
    cv2.imwrite(str(tmp_path / "0.tif"), deep)
    cv2.imwrite(str(tmp_path / "1.png"), np.full((10, 12), 7, np.uint8))
    cv2.imwrite(str(tmp_path / "2.png"), np.full((10, 12, 4), (1, 2, 3, 9), np.uint8))
    first, second, third = (f.image for f in open_source(tmp_path))
    assert first.shape == second.shape == third.shape == (10, 12, 3)
    assert first.dtype == np.uint8
    np.testing.assert_allclose(first[..., 0], deep / 257, atol=1)
    assert (first[..., 0] == first[..., 2]).all()
    assert (second == 7).all()
    assert (third == (1, 2, 3)).all()


def test_two_sizes_name_the_first_odd_file(tmp_path):
    save(tmp_path / "0.png", 1)
    cv2.imwrite(str(tmp_path / "1.png"), np.zeros((20, 24, 3), np.uint8))
    with pytest.raises(SourceError, match=r"0\.png is 12x10, 1\.png is 24x20"):
        list(open_source(tmp_path))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".bmp"])
def test_a_cut_picture_is_named(make_frames, tmp_path, suffix, capfd):
    make_frames(tmp_path, frames=3, suffix=suffix)
    bad = tmp_path / f"001{suffix}"
    bad.write_bytes(bad.read_bytes()[: bad.stat().st_size // 2])
    with pytest.raises(SourceError, match=f"001{suffix}"):
        list(open_source(tmp_path))
    assert "OpenCV" not in capfd.readouterr().err


def test_an_empty_picture_is_named(tmp_path):
    (tmp_path / "0.jpg").touch()
    with pytest.raises(SourceError, match=r"0\.jpg .*0 bytes"):
        open_source(tmp_path)


def test_empty_folder(tmp_path):
    with pytest.raises(SourceError, match="it is empty"):
        open_source(tmp_path)


def test_folder_without_pictures_says_what_it_holds(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "sub").mkdir()
    with pytest.raises(SourceError, match=r"it holds notes\.txt, sub/"):
        open_source(tmp_path)


def test_a_single_picture_is_refused(make_frames, tmp_path):
    make_frames(tmp_path, frames=1)
    with pytest.raises(SourceError, match="single picture"):
        open_source(tmp_path / "000.png")


def test_a_stretch_of_a_folder(make_frames, tmp_path):
    source = open_source(make_frames(tmp_path / "f", frames=20), fps=10)
    got = list(source.frames_from(1.2))
    assert [f.pts_s for f in got] == pytest.approx([i / 10 for i in range(12, 20)])
    assert [(f.index, f.gap) for f in got] == [(i, i == 0) for i in range(8)]
    assert (got[0].image == list(source)[12].image).all()
    assert source.length_s == 2.0
    assert not list(source.frames_from(5))


@pytest.mark.parametrize("fps", [0, -5, 5000, float("nan")])
def test_a_rate_that_is_none_is_refused(make_frames, tmp_path, fps):
    with pytest.raises(ConfigError, match=r"--fps .*above 0 and at most 1000 .* found"):
        open_source(make_frames(tmp_path / "f"), fps=fps)


@pytest.mark.parametrize(("fps", "rate"), [(None, 25.0), (8, 8.0)])
def test_it_is_told_whether_the_rate_was_assumed(make_frames, tmp_path, fps, rate):
    info = open_source(make_frames(tmp_path / "f"), fps=fps).info
    assert (info.fps, info.assumed) == (rate, fps is None)
