"""Tables of frames: what the packets say is what decoding gives, and parts are of the whole."""

from fractions import Fraction

import av
import numpy as np
import pytest

from encoded import break_bytes, encode, number_of
from oddframe.sources import open_source
from oddframe.sources.rate import Pacer
from oddframe.sources.table import Part, Since

FILES = {
    "an mp4": ("a.mp4", {"frames": 60}),
    "an mp4 with frames between": ("a.mp4", {"frames": 60, "b_frames": 3}),
    "one of an uneven rate": (
        "a.mp4", {"stamps": list(np.cumsum(0.02 + 0.05 * np.random.default_rng(0).random(60)))},
    ),
    "a pause": ("a.mkv", {"stamps": [i / 25 + 60 * (i >= 31) for i in range(60)], "rate": 25}),
    "a transport stream": ("a.ts", {"frames": 60, "b_frames": 2}),
    "one that begins late": ("a.ts", {"frames": 60, "start": 7.0}),
    "webm": ("a.webm", {"frames": 60, "codec": "libvpx"}),
    "an avi": ("a.avi", {"frames": 60, "codec": "mpeg4"}),
    "mjpeg in an avi": ("a.avi", {"frames": 60, "codec": "mjpeg"}),
}  # fmt: skip


@pytest.fixture(params=FILES, ids=str)
def video(request, tmp_path):
    name, options = FILES[request.param]
    return encode(tmp_path / name, **options)


def test_packets_say_what_decoding_gives(video):
    with open_source(video) as source:
        table = source.table()
        frames = list(source)
    assert table is not None
    assert table.time_s.tolist() == [f.pts_s for f in frames]
    assert table.gap.tolist() == [f.gap for f in frames]


@pytest.mark.parametrize("first", [1, 11, 12, 13, 31, 47, 59])
def test_a_part_is_of_the_whole(video, first):
    with open_source(video) as source:
        table = source.table()
        whole = list(source)[first:]
        part = list(Part(source, table.place(first), None))
    assert [f.index for f in part] == [f.index for f in whole]
    assert [f.pts_s for f in part] == [f.pts_s for f in whole]
    assert [f.gap for f in part[1:]] == [f.gap for f in whole[1:]]
    assert not part[0].gap
    for mine, other in zip(part, whole, strict=True):
        np.testing.assert_array_equal(mine.at(32), other.at(32))


def test_folders_have_tables(tmp_path, make_frames):
    with open_source(make_frames(tmp_path / "a", frames=9), fps=7) as source:
        table = source.table()
        assert table.time_s.tolist() == [f.pts_s for f in source]
        part = list(Part(source, table.place(4), None))
    assert [f.index for f in part] == [4, 5, 6, 7, 8]
    assert not any(f.gap for f in part)


def edited(tmp_path):
    """An mp4 cut off a longer one without encoding it anew: its edit list hides the frames between
    the key frame and the cut."""
    long, short = encode(tmp_path / "long.mp4", 90, gop=20), tmp_path / "short.mp4"
    with av.open(str(long)) as source, av.open(str(short), "w") as out:
        theirs = source.streams.video[0]
        ours = out.add_stream_from_template(theirs)
        for packet in source.demux(theirs):
            if packet.size and packet.pts * packet.time_base >= Fraction(20, 25):
                packet.pts -= round(Fraction(27, 25) / packet.time_base)
                packet.dts -= round(Fraction(27, 25) / packet.time_base)
                packet.stream = ours
                out.mux(packet)
    return short


def test_frames_that_an_edit_list_hides_are_not_counted(tmp_path):
    with open_source(edited(tmp_path)) as source:
        table, frames = source.table(), list(source)
        assert 55 < len(frames) < 70
        assert table.time_s.tolist() == [f.pts_s for f in frames]
        for first in (1, 12, 14, 30):
            part = list(Part(source, table.place(first), None))
            assert [f.pts_s for f in part] == [f.pts_s for f in frames[first:]]
            np.testing.assert_array_equal(part[0].at(32), frames[first].at(32))


def cut_short(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4])
    return path


def test_what_looks_damaged_has_none(tmp_path):
    broken = break_bytes(encode(tmp_path / "a.mkv", 200), 0.5, 0.55)
    with open_source(broken) as source:
        assert source.table() is None
    with open_source(cut_short(encode(tmp_path / "b.mkv", 200))) as source:
        assert source.table() is None


def test_what_has_no_stamps_has_none(tmp_path):
    with open_source(encode(tmp_path / "a.h264", 60, muxer="h264")) as source:
        assert source.table() is None


def test_clocks_that_are_set_have_none(tmp_path):
    """Two recordings one behind the other, each with a clock of its own."""
    path = tmp_path / "a.ts"
    one = encode(tmp_path / "b.ts", 40).read_bytes()
    path.write_bytes(one + one)
    with open_source(path) as source:
        assert source.table() is None


def test_a_place_that_is_not_there_gives_nothing(tmp_path):
    """A file that was replaced: its key frames lie elsewhere."""
    with open_source(encode(tmp_path / "a.mp4", 60)) as source:
        place = source.table().place(40)
    with open_source(encode(tmp_path / "b.mp4", 30)) as source:
        assert list(source.frames_at(place)) == []


def test_pictures_are_those_of_their_numbers(tmp_path):
    with open_source(encode(tmp_path / "a.mp4", 90, b_frames=2)) as source:
        part = list(source.frames_at(source.table().place(50)))
    assert [number_of(f.image) for f in part] == list(range(50, 90))


@pytest.mark.parametrize("fps", [7.0, 25.0, 60.0])
def test_pacing_resumes_in_the_middle(tmp_path, fps):
    """As if all before had been counted."""
    stamps = np.cumsum(0.01 + 0.06 * np.random.default_rng(1).random(80))
    stamps[40:] += 3
    with open_source(encode(tmp_path / "a.mp4", stamps=list(stamps))) as source:
        frames, rate = list(source), source.info.fps
    whole = Pacer(fps, rate)
    looks = [whole.looks(f) for f in frames]
    for first in (5, 20, 39, 41, 60):
        begun = max(i for i in range(first) if i == 0 or frames[i].gap)
        part = Pacer(fps, rate)
        part.resume(Since(frames[begun].pts_s, frames[first - 1].pts_s))
        assert [part.looks(f) for f in frames[first:]] == looks[first:]
