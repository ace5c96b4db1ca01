"""Segments together are the whole file, bit for bit, whatever the file is like."""

import itertools
import json
import shutil

import numpy as np
import pytest
from archiving import same_as_one_pass
from stub_run import HISTORY, street, write_stub

import oddframe
from encoded import break_bytes, encode
from oddframe.archive.plan import MORE, Segment, cut
from oddframe.archive.score import score_segment
from oddframe.cli import main
from oddframe.data.blobs import Sizes
from oddframe.runs import load_run, save_run
from oddframe.scoring.usual import fit_usual
from oddframe.sources import open_source
from oddframe.sources.rate import Pacer
from oddframe.sources.table import Table
from pieces import Some

UNEVEN = list(np.cumsum(0.02 + 0.05 * np.random.default_rng(0).random(60)))
FILES = {
    "a constant rate, frames between": ("a.mp4", {"b_frames": 3}),
    "a variable rate": ("a.mp4", {"stamps": UNEVEN}),
    "a pause": ("a.mkv", {"stamps": [i / 25 + 60 * (i >= 27) for i in range(60)], "rate": 25}),
    "a transport stream": ("a.ts", {"b_frames": 2, "start": 3.0}),
    "an avi": ("a.avi", {"codec": "mjpeg"}),
}  # fmt: skip


def with_fps(run, fps):
    """The RUN, as if it had learned at a rate."""
    card = json.loads((run / "model.json").read_text("utf8"))
    (run / "model.json").write_text(json.dumps({**card, "fps": fps}))
    return run


def with_score(run, name, value):
    """The RUN with another setting of its score."""
    card = json.loads((run / "model.json").read_text("utf8"))
    card["config"]["score"][name] = float(value)
    (run / "model.json").write_text(json.dumps(card))


def one_pass(run, path, **options):
    loaded = load_run(run).with_settings(options.get("settings", ()))
    return oddframe.load(loaded).score(path, heat=False)


@pytest.fixture
def run_copy(light, tmp_path):
    return shutil.copytree(light, tmp_path / "RUN")


@pytest.fixture(params=FILES, ids=str)
def video(request, footage, tmp_path):
    name, options = FILES[request.param]
    return footage(tmp_path / name, **options)


def test_segments_are_the_whole_file(archived, light, video):
    outcome = archived(light, [video])
    assert len(archived.files(video)) >= 3
    assert outcome.failures == []
    same_as_one_pass(archived.table(video), one_pass(light, video))


@pytest.mark.parametrize("fps", [6.0, 60.0])
def test_also_where_footage_is_brought_to_a_rate(archived, run_copy, footage, tmp_path, fps):
    video = footage(tmp_path / "a.mp4", stamps=[t + 20 * (t > 1.6) for t in UNEVEN])
    run = with_fps(run_copy, fps)
    archived(run, [video])
    assert len(archived.files(video)) >= 2
    same_as_one_pass(archived.table(video), one_pass(run, video))


@pytest.mark.slow
@pytest.mark.parametrize("segment_s", [0.6, 1.0])
@pytest.mark.parametrize("fps", [4.0, 11.0, 25.0, 44.0])
def test_also_of_other_lengths_and_rates(archived, run_copy, video, fps, segment_s):
    run = with_fps(run_copy, fps)
    archived(run, [video], segment_s=segment_s)
    same_as_one_pass(archived.table(video), one_pass(run, video))


@pytest.mark.slow
def test_also_with_optical_flow(archived, shared_run, video):
    archived(shared_run, [video])
    same_as_one_pass(archived.table(video), one_pass(shared_run, video))


@pytest.mark.slow
def test_also_where_scores_remember_what_stays(archived, tmp_path):
    """8 s of memory: a RUN of 6 frames/s, so that they are 48 looks."""
    old = load_run(write_stub(tmp_path / "RUN"))
    ground = [np.repeat(street(i, 256, 256)[..., :1], 3, 2) for i in range(40)]
    fitted = fit_usual([Some(ground), Some(ground[10:])], Sizes(60, 0, 60, 60), 6)
    save_run(
        tmp_path / "RUN", old.name, old.model(), old.card["config"],
        {**old.scene, **fitted.scene}, old.calibration, {"fps": 6.0}, fitted.usual,
    )  # fmt: skip
    assert oddframe.load(tmp_path / "RUN").info.overlap == 48
    video = encode(
        tmp_path / "a.mp4", 300, fps=12, pictures=lambda i: street(i, 160, 96, 40 + i % 3)
    )
    archived(tmp_path / "RUN", [video], segment_s=4.0)
    assert len(archived.files(video)) >= 2
    same_as_one_pass(archived.table(video), one_pass(tmp_path / "RUN", video))


def test_also_where_the_light_of_a_level_is_older_than_what_is_read_early(
    archived, run_copy, tmp_path
):
    """There is colour from 2 s on, which is the light from 5 s on."""
    card = json.loads((run_copy / "model.json").read_text("utf8"))
    lights = {"colour": {"threshold": 3.0}, "infrared": {"threshold": 1.0}}
    card["calibration"]["modes"] = lights
    (run_copy / "model.json").write_text(json.dumps(card))

    def picture(i):
        image = np.repeat(street(i, 160, 96)[..., 1:2], 3, 2)
        if i >= 20:
            image[:, :80, 0] //= 4
            image[:, 80:, 2] //= 4
        return image

    video = encode(tmp_path / "a.mp4", 80, fps=10, pictures=picture)
    archived(run_copy, [video])
    result = one_pass(run_copy, video)
    above = result.level > 0
    assert {round(x) for x in result.score[above] / result.level[above]} == {1, 3}
    same_as_one_pass(archived.table(video), result)
    assert len(archived.files(video)) == 1
    steady = encode(tmp_path / "b.mp4", 40, fps=10, pictures=lambda i: picture(i + 20))
    archived(run_copy, [steady])
    assert len(archived.files(steady)) >= 3
    same_as_one_pass(archived.table(steady), one_pass(run_copy, steady))


@pytest.mark.parametrize("settings", ["smooth=0.5", "lag_s=0.2"])
def test_scores_that_need_all_before_are_of_one_segment(
    archived, run_copy, footage, tmp_path, settings
):
    video = footage(tmp_path / "a.mp4")
    with_score(run_copy, *settings.split("="))
    archived(run_copy, [video])
    assert [p.stem for p in archived.files(video)] == ["whole"]
    same_as_one_pass(archived.table(video), one_pass(run_copy, video))


def test_folders_of_frames(archived, light, write_street, tmp_path):
    folder = write_street(tmp_path / "frames", range(60), odd_from=30)
    archived(light, [folder])
    assert len(archived.files(folder)) == 3
    same_as_one_pass(archived.table(folder), one_pass(light, folder))


def test_a_damaged_file_is_one_segment_and_has_the_scores_that_score_gives(
    footage, archived, light, tmp_path
):
    video = footage(tmp_path / "a.mkv", 150)
    break_bytes(video, 0.4, 0.45)
    archived(light, [video])
    assert [p.stem for p in archived.files(video)] == ["whole"]
    same_as_one_pass(archived.table(video), one_pass(light, video))
    [entry] = archived.outcome.entries
    assert "damaged" in entry.facts["whole"]["lost"]


def broken_in_a_picture(path):
    """Bytes of a picture overwritten that no demuxer looks at."""
    data = bytearray(path.read_bytes())
    a = len(data) * 6 // 10
    data[a : a + 300] = np.random.default_rng(1).bytes(300)
    path.write_bytes(data)
    return path


def test_damage_that_no_packet_shows_is_found_on_the_way(footage, archived, light, tmp_path):
    """An mp4 whose index is whole: only the decoder notices, and the file is done anew in one."""
    video = footage(tmp_path / "a.mp4", 150)
    broken_in_a_picture(video)
    with open_source(video) as source:
        assert source.table() is not None
    archived(light, [video])
    assert len(archived.tasks) > 2
    assert [p.stem for p in archived.files(video)] == ["whole"]
    assert "not as its packets say" in archived.outcome.entries[0].plan.whole
    same_as_one_pass(archived.table(video), one_pass(light, video))


def test_other_pictures_at_a_seam_are_noticed(footage, archived, light, tmp_path, monkeypatch):
    """Where decoding that begins late gives other pictures, as with frames that refresh bit by bit,
    stamps say nothing."""
    from oddframe.sources.video import VideoFile

    real = VideoFile.frames_at

    def washed(self, place):
        for frame in real(self, place):
            if place.frame and frame.index < place.frame + 3:
                image = frame.image // 2
                frame = oddframe.Frame(frame.index, frame.pts_s, image, frame.gap)
            yield frame

    monkeypatch.setattr(VideoFile, "frames_at", washed)
    video = footage(tmp_path / "a.mp4")
    archived(light, [video])
    assert [p.stem for p in archived.files(video)] == ["whole"]
    assert "other pictures" in archived.outcome.entries[0].plan.whole
    same_as_one_pass(archived.table(video), one_pass(light, video))


def test_columns_are_those_of_the_csv(footage, archived, light, tmp_path, capsys):
    """Number for number, with its nine digits."""
    video = footage(tmp_path / "a.mp4")
    archived(light, [video])
    assert main(["score", str(light), str(video), "--out", str(tmp_path / "csv")]) == 0
    head, *lines = (tmp_path / "csv" / "a.csv").read_text().splitlines()
    columns = [name for name in head.split(",") if name != "paper_curve"]
    found = archived.table(video)
    for i, line in enumerate(lines):
        cells = dict(zip(head.split(","), line.split(","), strict=True))
        for name in columns:
            text = "" if np.isnan(found[name][i]) else f"{found[name][i]:.9g}"
            text = f"{found[name][i]:.6f}" if name == "time_s" else text
            assert text == cells[name], (i, name)


def test_the_hottest_place_is_where_it_blinks(archived, light, write_street, tmp_path):
    """`street`'s box lies at x 48 to 60, y 4 to 16 of 64 x 48."""
    folder = write_street(tmp_path / "frames", range(60), odd_from=40)
    archived(light, [folder])
    found = archived.table(folder)
    top = int(np.nanargmax(found["score"]))
    assert top >= 40
    x, y, w, h = (found[f"box_{n}"][top] for n in "xywh")
    assert 48 <= x + w / 2 <= 60
    assert 0 <= y + h / 2 <= 18
    assert np.isnan(found["box_x"][:HISTORY]).all()
    assert not np.isnan(found["box_x"][HISTORY:]).any()


def plain_cut(table, start, needs, pace):
    """Where to begin, by counting back look by look: the slow twin of `cut`."""
    looks = [
        1 if pace is None else pace.at(t, g) for t, g in zip(table.time_s, table.gap, strict=True)
    ]
    first, count = start, 0
    while first > 0 and count < needs and not (table.gap[first] and first < start):
        if table.gap[first] and first == start:
            return start - 1
        first -= 1
        count += looks[first]
    return min(first, start - 1)


@pytest.mark.parametrize("fps", [None, 5.0, 60.0])
def test_a_segment_begins_as_early_as_it_has_to(fps):
    rng = np.random.default_rng(3)
    time_s = np.cumsum(0.02 + 0.04 * rng.random(400))
    gap = rng.random(400) < 0.01
    gap[0] = False
    time_s += 5 * np.cumsum(gap)
    table = Table(time_s, gap)
    segments = cut(table, 60, 20, None if fps is None else Pacer(fps, 25.0))
    assert segments[0].start == 0
    assert segments[-1].stop == 400
    for one, other in itertools.pairwise(segments):
        assert one.stop == other.start
        pace = None if fps is None else Pacer(fps, 25.0)
        assert other.place.frame == plain_cut(table, other.start, 20, pace)
        assert one.tail == other.place.frame
        assert one.start <= other.place.frame


def test_no_frame_is_read_more_than_twice():
    """However short segments are asked for, beside what has to be read early."""
    segments = cut(Table(np.arange(300) / 25, np.zeros(300, bool)), 10, 100, None)
    read = np.zeros(300, int)
    for segment in segments:
        read[segment.place.frame : segment.stop] += 1
    assert set(read) == {1, 2}
    assert [s.start for s in segments] == [0, 10, 110, 210]


def test_one_segment_alone(footage, light, tmp_path):
    """The function that every engine runs."""
    detector = oddframe.load(light)
    video = footage(tmp_path / "a.mp4")
    whole = detector.score(video)
    with open_source(video) as source:
        [_, segment, _] = cut(source.table(), 20, detector.info.overlap + MORE, None)
        rows = score_segment(detector, source, segment)
    assert Segment.read(json.loads(json.dumps(segment.plain()))) == segment
    assert rows.exact
    at = slice(segment.start, segment.stop)
    np.testing.assert_array_equal(rows.result.score, whole.score[at])
    assert rows.top["frame"] == segment.start + int(np.nanargmax(whole.score[at]))
