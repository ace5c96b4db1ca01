"""Video files: clocks, counts, pixels, and what is wrong with some of them."""

import struct
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from encoded import break_bytes, decodable, encode, number_of, numbered
from oddframe.errors import SourceError
from oddframe.sources import frame_times, open_source
from oddframe.sources.container import missing_bytes
from oddframe.sources.convert import Converter
from oddframe.sources.decode import Decoder
from oddframe.sources.packets import open_stream
from oddframe.sources.stamps import typical_step, valid_fps


@pytest.mark.parametrize("suffix", [".avi", ".mp4"])
def test_frames_of_a_file(make_video, tmp_path, suffix):
    path = make_video(tmp_path / f"clip{suffix}", frames=15, fps=10.0)
    with open_source(path) as source:
        frames = list(source)
        again = list(source)
    assert source.info.frames is None  # a container's count is no certainty
    assert source.frame_hint == 15
    assert [f.index for f in frames] == list(range(15))
    assert [f.pts_s for f in frames] == pytest.approx([i / 10 for i in range(15)])
    assert frames[0].image.shape == (48, 64, 3)
    assert frames[0].image.dtype == np.uint8
    assert (frames[3].image == again[3].image).all()
    assert len(frame_times(path)) == 15
    assert (source.info.name, source.info.width, source.info.height) == ("clip", 64, 48)
    assert not any(f.gap for f in frames)
    assert not source.lost


def test_fps_is_not_rounded(make_video, tmp_path):
    path = make_video(tmp_path / "a.mp4", fps=29.97)
    assert open_source(str(path)).info.fps == pytest.approx(29.97, abs=0.01)


def test_a_file_that_a_recorder_deletes_while_it_is_in_use(make_video, tmp_path):
    path = make_video(tmp_path / "a.mp4")
    source = open_source(path)
    path.unlink()
    with pytest.raises(SourceError, match=r"a\.mp4 as a video: it is gone"):
        list(source)
    path = make_video(tmp_path / "b.mp4")
    source = open_source(path)
    frames = iter(source)
    next(frames)
    path.unlink()
    with pytest.raises(SourceError, match=r"b\.mp4 is gone, or cannot be read any more"):
        list(frames)


@pytest.mark.parametrize("fps", [0.0, -1.0, 1e5, float("nan"), float("inf")])
def test_nonsense_fps_becomes_25(fps):
    assert valid_fps(fps) == 25.0


@pytest.mark.parametrize("fps", [15, 24, 30, 60])
@pytest.mark.parametrize("suffix", ["mkv", "flv", "mp4"])
def test_the_rate_of_containers_that_round_stamps(tmp_path, fps, suffix):
    """To 1 ms: the median step of 30 frames/s is 33 ms."""
    path = encode(tmp_path / f"a.{suffix}", 121, fps, size=(32, 32))
    with open_source(path) as source:
        assert source.info.fps == pytest.approx(fps, rel=1e-4)
        assert source.info.steady


def test_the_usual_step_where_no_step_is_near_the_median():
    assert typical_step([0, 10, 110], Fraction(1, 100)) == 0.55
    assert typical_step([0, 4, 8, 12, 99], Fraction(1, 100)) == 0.04  # not the pause
    assert typical_step([5], Fraction(1, 100)) is None


KINDS = [
    ("a.mp4", "libx264", {}), ("b.mkv", "libx264", {"b_frames": 3}), ("c.ts", "libx264", {}),
    ("d.avi", "mpeg4", {"b_frames": 2}), ("e.webm", "libvpx", {}), ("f.mp4", "libx265", {}),
    ("g.mov", "mjpeg", {}), ("h.h264", "libx264", {"b_frames": 2}), ("i.mpg", "mpeg2video", {}),
    ("j.flv", "libx264", {}), ("k.mp4", "mpeg4", {}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "codec", "how"), KINDS, ids=[k[0] + "-" + k[1] for k in KINDS])
def test_every_kind_of_file_gives_its_frames_in_order(tmp_path, name, codec, how):
    path = encode(tmp_path / name, 40, 25, codec, **how)
    with open_source(path) as source:
        frames = list(source)
    assert [number_of(f.image) for f in frames] == list(range(40))
    assert source.info.fps == pytest.approx(25, rel=0.05)
    # Matroska and flash stamps are rounded to 1 ms.
    assert [f.pts_s for f in frames] == pytest.approx([i / 25 for i in range(40)], abs=2e-3)
    assert not any(f.gap for f in frames)
    assert not source.lost


def test_pixels_at_a_models_size_are_the_means_of_the_whole_picture(tmp_path):
    path = encode(tmp_path / "a.mp4", 3, size=(480, 320))
    for frame in open_source(path):
        wanted = cv2.resize(frame.image, (64, 64), interpolation=cv2.INTER_AREA).astype(float)
        small = frame.at(64)
        assert small.shape == (64, 64, 3)
        assert small.dtype == np.uint8
        # The chroma planes are scaled as they are, and not blown up first.
        assert np.abs(small - wanted).mean() < 1.5
        assert frame.at(64) is small
        source = numbered(frame.index, 480, 320).astype(float)
        assert np.abs(frame.image - source).mean() < 4


def test_frames_of_a_folder_have_sizes_too(make_frames, tmp_path):
    frame = next(iter(open_source(make_frames(tmp_path / "f"))))
    assert frame.at(16).shape == (16, 16, 3)


# ---- time


def test_time_comes_from_stamps_and_the_rate_is_their_median(tmp_path):
    stamps = [i / 30 for i in range(60)] + [2 + i / 10 for i in range(20)]
    path = encode(tmp_path / "vfr.mp4", stamps=stamps, rate=30)
    with open_source(path) as source:
        times = [f.pts_s for f in source]
    assert source.info.fps == pytest.approx(30, abs=0.01)
    assert times == pytest.approx(stamps, abs=1e-4)


def test_a_file_whose_header_knows_no_rate(tmp_path):
    """As a browser's recorder writes them: 1000 frames a second by OpenCV."""
    path = encode(tmp_path / "a.webm", 40, 25, "libvpx", rate=1000)
    with open_source(path) as source:
        assert source.info.fps == pytest.approx(25)
        assert [f.pts_s for f in source][-1] == pytest.approx(39 / 25, abs=2e-3)


@pytest.mark.parametrize("suffix", ["mkv", "ts", "mp4"])
def test_a_clock_that_does_not_begin_at_0(tmp_path, suffix):
    path = encode(tmp_path / f"segment.{suffix}", 50, start=10.0)
    with open_source(path) as source:
        times = [f.pts_s for f in source]
    assert times == pytest.approx([i / 25 for i in range(50)], abs=2e-3)


def test_a_pause_is_a_gap_and_its_time_counts(tmp_path):
    stamps = [i / 25 for i in range(20)] + [3600 + i / 25 for i in range(20)]
    path = encode(tmp_path / "motion.mp4", stamps=stamps, rate=25)
    with open_source(path) as source:
        frames = list(source)
    assert source.info.fps == pytest.approx(25)
    assert [f.index for f in frames if f.gap] == [20]
    assert frames[20].pts_s == pytest.approx(3600)
    assert (source.lost.places, source.lost.pauses) == (0, 1)
    assert str(source.lost) == "one pause of 60 min in all"


def test_slow_footage_has_no_gaps(tmp_path):
    path = encode(tmp_path / "lapse.mp4", stamps=[10.0 * i for i in range(20)], rate=1)
    with open_source(path) as source:
        assert not any(f.gap for f in source)
    assert source.info.fps == pytest.approx(0.1)


@pytest.mark.parametrize("threads", [1, 4])
def test_segments_set_one_behind_the_other_go_on(tmp_path, monkeypatch, threads):
    """Their clocks begin anew; nothing of the first may be compared with the second.

    Threads of a decoder run behind: packets of the second are there before pictures of the first.
    """
    monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
    a = encode(tmp_path / "a.ts", 30)
    b = encode(tmp_path / "b.ts", 30, first=30)
    whole = tmp_path / "whole.ts"
    whole.write_bytes(a.read_bytes() + b.read_bytes())
    with open_source(whole) as source:
        frames = list(source)
    assert len(frames) == decodable(whole) == 60
    times = [f.pts_s for f in frames]
    assert times == sorted(set(times))
    assert times[-1] < 3
    assert [f.index for f in frames if f.gap] == [30]
    assert not source.lost.places


# ---- what headers claim, and what is missing


def test_sound_that_is_longer_than_the_pictures(tmp_path):
    path = encode(tmp_path / "a.mkv", 50, sound_s=12.0)
    assert len(frame_times(path)) == 50


def test_a_stream_that_begins_between_two_key_frames(tmp_path):
    path = encode(tmp_path / "a.ts", 60, gop=20)
    data = path.read_bytes()
    with av.open(str(path)) as container:
        keys = [p.pos for p in container.demux(video=0) if p.size and p.is_keyframe]
    cut = (keys[0] + 188 * 3) // 188 * 188
    path.write_bytes(data[cut:])
    with open_source(path) as source:
        frames = list(source)
    assert len(frames) == decodable(path) >= 38
    assert number_of(frames[-1].image) == 59


def test_interlaced_pictures_are_whole(tmp_path):
    path = tmp_path / "a.ts"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        stream.options = {"flags": "+ildct+ilme", "x264-params": "interlaced=1", "crf": "18"}
        for i in range(30):
            frame = av.VideoFrame.from_ndarray(numbered(i), "bgr24")
            frame.pts = i
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    frames = list(open_source(path))
    assert frames[3].picture._frame.interlaced_frame  # the test is of such a file
    assert [number_of(f.image) for f in frames] == list(range(30))
    assert all(np.abs(f.image.astype(int) - numbered(f.index)).mean() < 6 for f in frames)


@pytest.mark.parametrize("angle", [90, 180, -90])
def test_a_camera_held_sideways_is_set_upright(tmp_path, angle):
    plain = encode(tmp_path / "plain.mp4", 5)
    turned = tmp_path / "turned.mp4"
    with av.open(str(plain)) as source, av.open(str(turned), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        if not hasattr(stream, "set_display_rotation"):
            pytest.skip("this PyAV cannot write a rotation")
        stream.set_display_rotation(angle)
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                out.mux(packet)
    wanted = next(iter(open_source(plain))).image
    frame = next(iter(open_source(turned)))
    assert (frame.image == np.rot90(wanted, angle // 90)).all()


def test_a_closed_source_says_so(make_video, tmp_path):
    source = open_source(make_video(tmp_path / "a.avi"))
    source.close()
    source.close()
    with pytest.raises(SourceError, match="closed"):
        iter(source)


def test_absent_path(tmp_path):
    with pytest.raises(SourceError, match=r"nothing\.mp4 does not exist.*Expected a video file"):
        open_source(tmp_path / "nothing.mp4")


@pytest.mark.parametrize(
    ("content", "found"),
    [(b"hello, world\n" * 300, "no video that FFmpeg knows"), (b"", "file is empty")],
    ids=["text", "empty"],
)
def test_not_a_video(tmp_path, content, found, capfd):
    path = tmp_path / "a.avi"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=found):
        open_source(path)
    assert capfd.readouterr().err == ""


def test_a_file_of_sound_alone(tmp_path):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 8000
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    with pytest.raises(SourceError, match="holds no video"):
        open_source(path)


def test_an_mp4_without_its_index(make_video, tmp_path, capfd):
    path = make_video(tmp_path / "a.mp4", frames=60)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(SourceError, match="without a readable index"):
        open_source(path)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("kind", ["avi", "mp4 with its index first", "mkv"])
def test_a_file_cut_in_its_data(tmp_path, kind):
    """What a broken copy leaves: refused, unless one says that a part will do."""
    suffix = kind.split()[0]
    options = {"movflags": "faststart"} if suffix == "mp4" else {}
    codec = "mjpeg" if suffix == "avi" else "libx264"
    path = encode(tmp_path / f"a.{suffix}", 100, 25, codec, options=options)
    assert missing_bytes(path) == 0
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    assert missing_bytes(path) == len(data) - len(data) * 2 // 3
    wanted = r"declares \d+ frames, but only \d+ can be decoded: \d+ bytes are missing"
    with pytest.raises(SourceError, match=wanted) as error:
        list(open_source(path))
    assert "truncated" in str(error.value)
    assert "--allow-short" in str(error.value)
    with pytest.raises(SourceError, match="truncated"):
        frame_times(path)
    short = list(open_source(path, allow_short=True))
    assert 40 < len(short) < 80
    assert [number_of(f.image) for f in short[:-2]] == list(range(len(short) - 2))


def test_a_recording_without_a_length_is_whole_wherever_it_ends(tmp_path):
    path = encode(tmp_path / "a.mkv", 100, options={"live": "1"})
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    assert missing_bytes(path) == 0
    assert 40 < len(frame_times(path)) < 80


def test_box_sizes_that_are_damaged_refuse_nothing(tmp_path):
    """Every frame is there: only a header is wrong."""
    path = encode(tmp_path / "a.mp4", 60)
    data = bytearray(path.read_bytes())
    at = data.find(b"moov") - 4
    struct.pack_into(">I", data, at, struct.unpack_from(">I", data, at)[0] + 5000)
    path.write_bytes(data)
    assert missing_bytes(path) == 5000
    assert len(frame_times(path)) == 60


def test_a_video_without_frames(make_video, tmp_path):
    path = make_video(tmp_path / "a.mp4", frames=60)
    data = bytearray(path.read_bytes())
    start, stop = data.find(b"mdat") + 4, data.find(b"moov") - 4
    data[start:stop] = bytes(stop - start)
    path.write_bytes(data)
    with pytest.raises(SourceError, match=r"No frame of .* can be decoded"):
        open_source(path)


# ---- damage


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp4", "libx264"), ("b.mkv", "libx264"), ("c.ts", "libx264"), ("d.avi", "mpeg4"),
     ("e.webm", "libvpx"), ("f.mov", "mjpeg"), ("g.mp4", "libx265"), ("h.mpg", "mpeg2video")],
)  # fmt: skip
def test_damage_is_not_the_end(tmp_path, name, codec):
    path = encode(tmp_path / name, 200, 25, codec, gop=25)
    break_bytes(path, 0.45, 0.50)
    with open_source(path) as source:
        frames = list(source)
    assert len(frames) == decodable(path)
    assert number_of(frames[-1].image) == 199  # what lies behind it comes
    times = [f.pts_s for f in frames]
    assert times == sorted(set(times))
    assert times[-1] == pytest.approx(199 / 25, abs=0.05)
    assert (source.lost.places, source.lost.pauses) == (1, 0)
    assert abs(len(frames) + source.lost.frames - 200) <= 1
    assert any(f.gap for f in frames)
    # Between the damage and the next key frame pictures are built on broken ones.
    whole = [f for f in frames if not f.gap]
    wrong = [f for f in whole if np.abs(f.image.astype(int) - _shown(f, codec)).mean() > 12]
    assert not wrong


def _shown(frame, codec):
    """What the picture should be, by its time."""
    return numbered(round(frame.pts_s * 25)).astype(int)


def test_what_is_lost_is_counted(tmp_path):
    path = encode(tmp_path / "a.mp4", 200, gop=25)
    break_bytes(path, 0.45, 0.50)
    with open_source(path) as source:
        frames = list(source)
    assert len(frames) + source.lost.frames == 200
    assert "damaged in one place" in str(source.lost)


def test_a_stream_that_loses_pictures_for_ever_does_not_remember_them_all(tmp_path):
    path = encode(tmp_path / "a.ts", 600, 25, gop=5, b_frames=2, size=(64, 48))
    data, noise = bytearray(path.read_bytes()), np.random.default_rng(0)
    for at in range(188 * 20, len(data) - 188 * 3, 188 * 20):
        data[at : at + 188 * 3] = noise.bytes(188 * 3)
    path.write_bytes(data)
    opened = open_stream(f"file:{path}", 5, {})
    decoder, gone, most = Decoder(opened, 0.04), set(), 0
    for _ in decoder:
        gone |= decoder._gone
        most = max(most, len(decoder._gone))
    opened.container.close()
    assert len(gone) > 30  # in 24 s
    assert most < 0.5 * len(gone)


def test_damage_costs_the_same_on_any_number_of_cores(tmp_path, monkeypatch):
    """Frame threads drop pictures beside an error that one thread shows."""
    path = encode(tmp_path / "a.mp4", 60, gop=12, b_frames=2)
    data, found = path.read_bytes(), {}
    for cores in ("1", "4"):
        monkeypatch.setenv("OMP_NUM_THREADS", cores)
        for seed in range(6):
            rng, broken = np.random.default_rng(seed), bytearray(data)
            for place in rng.integers(data.find(b"mdat") + 40, data.find(b"moov") - 4, 30):
                broken[place] ^= 1 << int(rng.integers(0, 8))
            path.write_bytes(broken)
            with open_source(path) as source:
                seen = [(f.pts_s, f.gap, f.image.sum()) for f in source]
                found.setdefault(seed, []).append((seen, source.lost))
    assert all(one == four for one, four in found.values())
    assert all(lost for (_, lost), _ in found.values())


@pytest.mark.parametrize("name", ["entr\udce9e.mp4", "2024-05-01T10:00:00.mp4", "a%d#?.mp4"])
def test_names_of_any_kind(tmp_path, monkeypatch, name):
    encode(tmp_path / "plain.mp4", 12).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    for path in (name, tmp_path / name):
        assert len(list(open_source(path))) == 12


@pytest.mark.data
@pytest.mark.parametrize(("name", "frames"), [("campus.avi", 795), ("person-bicycle-car.mp4", 459)])
def test_real_clips_are_complete(real_data, name, frames):
    """The first has no stamps at its end, the second hides 8 frames by an edit list."""
    path = real_data("clips") / name
    assert len(frame_times(path)) == frames


# ---- from a time on


@pytest.mark.parametrize(("name", "codec", "how"), KINDS, ids=[k[0] + "-" + k[1] for k in KINDS])
@pytest.mark.parametrize("start_s", [0.0, 0.5, 3.21])
def test_a_stretch_of_a_file(tmp_path, name, codec, how, start_s):
    path = encode(tmp_path / name, 150, 25, codec, **how)
    with open_source(path) as source:
        wanted = [f for f in source if f.pts_s >= start_s - 1e-3]
        got = list(source.frames_from(start_s))
        assert source.length_s == pytest.approx(6.0, abs=0.3)
    if name.endswith(".mpg"):  # few stamps to seek by: FFmpeg estimates the place
        assert abs(number_of(got[0].image) - number_of(wanted[0].image)) <= 25
        return
    assert [number_of(f.image) for f in got] == [number_of(f.image) for f in wanted]
    assert [f.pts_s for f in got] == pytest.approx([f.pts_s for f in wanted], abs=2e-3)
    assert [f.index for f in got] == list(range(len(got)))
    assert [f.gap for f in got] == [True] + [False] * (len(got) - 1)


def test_a_stretch_of_a_file_whose_clock_begins_later(tmp_path):
    path = encode(tmp_path / "a.mkv", 100, start=10.0)
    with open_source(path) as source:
        got = next(source.frames_from(2.0))
        assert source.length_s == pytest.approx(4.0, abs=0.1)
    assert (number_of(got.image), got.pts_s) == (50, pytest.approx(2.0, abs=2e-3))


def test_a_file_that_does_not_say_how_long_it_is(tmp_path):
    path = encode(tmp_path / "a.mkv", 100, options={"live": "1"})
    with open_source(path) as source:
        assert source.frame_hint is None
        assert source.length_s == pytest.approx(4.0, abs=0.01)


def test_the_length_of_a_recording_has_its_pauses(tmp_path):
    stamps = [i / 25 + 600 * (i >= 30) for i in range(60)]
    with open_source(encode(tmp_path / "a.mp4", stamps=stamps, rate=25)) as source:
        assert source.length_s == pytest.approx(602.4, abs=0.1)
        assert source.frame_hint == 60
        assert number_of(next(source.frames_from(300.0)).image) == 30


@pytest.mark.parametrize(
    ("claim", "value"), [("colorspace", 62), ("colorspace", 10), ("color_range", 7)]
)
def test_colours_that_nobody_knows_are_those_of_a_frame_that_names_none(claim, value):
    """MPEG-2 carries a byte for it; damaged, or of a rare kind, FFmpeg converts nothing."""
    made = [
        av.VideoFrame.from_ndarray(numbered(5), "bgr24").reformat(format="yuv420p") for _ in "ab"
    ]
    setattr(made[0], claim, value)
    by = Converter(160, 96)
    for size in ((160, 96), (64, 64)):
        found, plain = (by.convert(frame, *size) for frame in made)
        np.testing.assert_array_equal(found, plain)
