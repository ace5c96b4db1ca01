"""The made street scene: same seed same pixels, truth that agrees with itself, whole files only."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from math import pi
from pathlib import Path

import cv2
import numpy as np
import pytest

from oddframe.errors import ConfigError, DatasetError
from oddframe.synth import ANOMALIES, SynthConfig, SynthFrame, render_clip, write_dataset
from oddframe.synth.actors import Actor, Walker, straight
from oddframe.synth.events import windows
from oddframe.synth.layout import make_layout
from oddframe.synth.people import Gait, person_parts, random_look
from oddframe.synth.scene import make_scene
from oddframe.synth.traffic import make_room
from oddframe.synth.write import TEST_SEED, clip_kinds, intervals

SMALL = SynthConfig(
    seed=1, width=180, height=120, fps=5, train_clips=1, train_seconds=2, test_clips=2,
    test_seconds=6, kinds=("cyclist", "left_object"),
)  # fmt: skip


def clip(config: SynthConfig, seed: int, kind: str | None, seconds: float) -> list[SynthFrame]:
    return list(render_clip(config, seed, kind, seconds))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("synth") / "made"
    write_dataset(root, SMALL)
    return root


def video(path: Path) -> np.ndarray:
    source = cv2.VideoCapture(str(path))
    frames = []
    while True:
        more, frame = source.read()
        if not more:
            return np.array(frames)
        frames.append(frame)


def test_the_same_seed_gives_the_same_pixels_and_truth() -> None:
    first, second = (clip(SMALL, 7, "cyclist", 6.0) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.image, b.image)
        np.testing.assert_array_equal(a.mask, b.mask)
        assert a.boxes == b.boxes


def test_scene_does_not_remember_the_clips_rendered_before() -> None:
    before = clip(SMALL, 3, None, 1.0)
    clip(SMALL, 4, "cart", 2.0)
    np.testing.assert_array_equal(before[-1].image, clip(SMALL, 3, None, 1.0)[-1].image)


def test_seeds_of_the_scene_give_other_streets() -> None:
    pictures = [make_scene(SynthConfig(seed=s, width=180, height=120)).background for s in range(6)]
    for i, a in enumerate(pictures):
        for b in pictures[:i]:
            assert np.abs(a - b).mean() > 12  # grey levels
    angles = [abs(np.degrees(make_layout(SynthConfig(seed=s)).angle)) for s in range(12)]
    assert min(angles) < 20, "some paths lead across the picture"
    assert max(angles) > 50, "some lead away"


def test_seeds_of_the_clip_keep_the_street_and_change_the_people() -> None:
    median = [np.median([f.image for f in clip(SMALL, seed, None, 6.0)], axis=0) for seed in (1, 2)]
    ratio = median[0].mean() / median[1].mean()
    assert np.median(np.abs(median[0] / ratio - median[1])) < 8
    first = [clip(SMALL, seed, None, 0.2)[0].image.astype(int) for seed in (1, 2)]
    assert (np.abs(first[0] - first[1]) > 40).sum() > 100


@pytest.mark.parametrize("seed", [0, 1])
def test_normal_clips_move_and_have_no_anomaly(seed: int) -> None:
    frames = clip(SynthConfig(seed=seed, fps=5), 5, None, 5.0)
    assert not any(f.label or f.boxes or f.mask.any() for f in frames)
    moved = np.abs(np.diff([f.image.astype(int).sum(axis=2) for f in frames], axis=0)) > 60
    assert moved.any(axis=(1, 2)).mean() > 0.9


@pytest.mark.parametrize("kind", ANOMALIES)
@pytest.mark.parametrize("seed", [0, 1], ids=["path leads away", "path across"])
def test_label_boxes_and_mask_agree(kind: str, seed: int) -> None:
    config = SynthConfig(seed=seed, fps=3)
    frames = clip(config, 11, kind, 14.0)
    labels = np.array([f.label for f in frames])
    assert 0.25 <= labels.mean() <= 0.75
    assert not labels[:3].any(), "a second of normal footage first"
    assert not labels[-3:].any(), "and last"
    for frame in frames:
        assert frame.label == int(frame.mask.any()) == int(len(frame.boxes) > 0)
        covered = np.zeros_like(frame.mask)
        for box in frame.boxes:
            assert box.kind == kind
            assert 0 <= box.x0 < box.x1 <= config.width
            assert 0 <= box.y0 < box.y1 <= config.height
            inside = frame.mask[box.y0 : box.y1, box.x0 : box.x1]
            assert inside.sum() >= config.min_area_px
            edges = (inside[0], inside[-1], inside[:, 0], inside[:, -1])
            assert all(edge.any() for edge in edges), "the box is tight"
            covered[box.y0 : box.y1, box.x0 : box.x1] = True
        assert not (frame.mask & ~covered).any()


def test_min_area_decides_the_label() -> None:
    strict = SynthConfig(seed=1, fps=5, min_area=5000)
    assert not any(f.label for f in clip(strict, 11, "left_object", 14.0))


def test_a_left_object_stays_where_it_is_and_a_cyclist_crosses() -> None:
    config = SynthConfig(seed=1, fps=5)

    def centres(kind: str) -> np.ndarray:
        return np.array([np.argwhere(f.mask).mean(axis=0)[1]
                         for f in clip(config, 11, kind, 14.0) if f.label])  # fmt: skip

    assert np.ptp(centres("left_object")) < 12  # whole or half hidden: columns
    assert np.ptp(centres("cyclist")) > config.width / 2


def test_wrong_way_walks_against_the_lane() -> None:
    config = SynthConfig(seed=1, fps=5)
    layout = make_layout(config)
    masks = [f.mask for f in clip(config, 11, "wrong_way", 14.0)]
    found = [(i, np.argwhere(m).mean(axis=0)[1]) for i, m in enumerate(masks) if m.sum() > 300]
    drift = np.polyfit(*np.array(found).T, 1)[0]
    ahead = layout.column_row(1.0, 0.0)[0] - layout.column_row(0.0, 0.0)[0]
    assert np.sign(drift) == -np.sign(ahead * layout.lanes[-1].direction)


def test_gait_moves_the_legs_and_standing_does_not() -> None:
    look = random_look(np.random.default_rng(0), bag="none")

    def feet(gait: Gait) -> np.ndarray:
        shoes = [p.points[1] for p in person_parts(look, gait) if p.colour == look.shoes]
        return np.array(shoes)

    phases = np.linspace(0, 2 * pi, 16, endpoint=False)
    walk = np.array([feet(Gait(float(p))) for p in phases])
    assert np.ptp(walk[:, 0, 0]) > 0.5, "a step forward and back, metres"
    assert np.corrcoef(walk[:, 0, 0], walk[:, 1, 0])[0, 1] < -0.5, "one foot ahead, one behind"
    assert walk[:, :, 2].min(axis=1).max() < 0.12, "one foot on the ground"
    stand = np.array([feet(Gait(float(p), effort=0.0)) for p in phases])
    assert np.ptp(stand[:, 0, 0]) < 0.05
    run = np.array([feet(Gait(float(p), running=True)) for p in phases])
    assert np.ptp(run[:, 0, 0]) > 1.2 * np.ptp(walk[:, 0, 0])


def test_files_are_readable_and_counts_match(written: Path) -> None:
    labels = np.load(written / "labels.npz")
    masks = np.load(written / "pixel_masks.npz")
    boxes = json.loads((written / "boxes.json").read_text())
    assert sorted(labels) == sorted(masks) == sorted(boxes) == ["01", "02"]
    assert len(video(next((written / "normal").iterdir()))) == 10
    for name in labels:
        frames = video(next((written / "test").glob(f"{name}.*")))
        assert frames.shape == (30, 120, 180, 3)
        assert labels[name].dtype == np.uint8
        mask = np.unpackbits(masks[name], axis=-1)[..., :180]
        assert mask.shape == (30, 120, 180)
        np.testing.assert_array_equal(mask.any(axis=(1, 2)), labels[name] == 1)
        assert [int(bool(b)) for b in boxes[name]] == labels[name].tolist()
        assert 0 < labels[name].mean() < 1


def test_files_hold_what_was_rendered(written: Path) -> None:
    frames = video(next((written / "test").glob("01.*")))
    made = clip(SMALL, TEST_SEED, "cyclist", 6.0)
    for stored, frame in zip(frames, made, strict=True):
        assert cv2.PSNR(stored, frame.image) > 32


def test_csv_holds_the_runs_of_the_labels(written: Path) -> None:
    labels = np.load(written / "labels.npz")
    with (written / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for name in labels:
        mine = [(round(float(r["start_s"]) * 5), round(float(r["end_s"]) * 5))
                for r in rows if r["video"] == name]  # fmt: skip
        assert mine == intervals(labels[name])


def test_the_same_config_is_reused_and_another_refused(written: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in written.rglob("*")}
    write_dataset(written, SMALL)
    assert before == {p: p.stat().st_mtime_ns for p in written.rglob("*")}
    with pytest.raises(DatasetError, match="other settings"):
        write_dataset(written, SynthConfig(seed=2))


def test_a_folder_with_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep me")
    with pytest.raises(DatasetError, match="not empty"):
        write_dataset(tmp_path, SMALL)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_nothing_is_left_when_interrupted(tmp_path: Path, error: type[BaseException]) -> None:
    def stop(done: int, total: int) -> None:
        assert total == 70
        if done == 13:
            raise error

    with pytest.raises(error):
        write_dataset(tmp_path / "made", SMALL, stop)
    assert not list(tmp_path.iterdir())


def test_an_empty_folder_is_filled_and_progress_reaches_the_end(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    config = SynthConfig(width=96, height=96, fps=2, train_clips=1, train_seconds=1, test_clips=0)
    write_dataset(tmp_path, config, lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]
    assert (tmp_path / "normal").is_dir()


@pytest.mark.parametrize(
    ("clips", "seconds"), [(5, 14), (3, 14), (6, 30), (8, 14)],
    ids=["one each", "fewer clips than kinds", "long clips", "more clips than kinds"],
)  # fmt: skip
def test_every_kind_appears(clips: int, seconds: float) -> None:
    kinds = clip_kinds(SynthConfig(test_clips=clips, test_seconds=seconds))
    assert {k for chosen in kinds for k in chosen} == set(ANOMALIES)
    assert all(1 <= len(chosen) == len(set(chosen)) <= 2 for chosen in kinds)


def test_event_windows_leave_normal_footage_around_them() -> None:
    (a, b), (c, d) = windows(2, 20.0, np.random.default_rng(0))
    assert 2 < a < b < c - 2 < c < d < 18


@pytest.mark.parametrize(
    "make",
    [
        lambda: SynthConfig(seed=-1),
        lambda: SynthConfig(width=181),
        lambda: SynthConfig(height=50),
        lambda: SynthConfig(fps=float("nan")),
        lambda: SynthConfig(kinds=("dragon",)),
        lambda: SynthConfig(kinds=()),
        lambda: render_clip(SMALL, 0, "dragon", 1.0),
    ],
    ids=["seed", "odd width", "low", "fps NaN", "unknown kind", "no kinds", "clip of unknown kind"],
)
def test_wrong_settings_are_named(make: Callable[[], object]) -> None:
    with pytest.raises(ConfigError, match=r"SynthConfig\.|dragon"):
        make()


def test_walkers_step_aside_for_all_who_come_or_stay_away() -> None:
    layout = make_layout(SMALL)
    rng = np.random.default_rng(0)

    def person(v: float, way: int = 1) -> Actor:
        ends = (0.0, 10.0) if way > 0 else (10.0, 0.0)
        return Actor(straight(0.0, *ends, 1.3, v), Walker(random_look(rng), 1.3, 0.0))

    def places(walker: float, *guests: float) -> list[float]:
        met = [person(v, way=-1) for v in guests]
        return [a.track.v for a in make_room(layout, [person(walker)], met, 8.0)]

    middle = 0.0
    assert places(middle, middle + 3.0) == [middle]
    assert places(middle, middle + 0.2) == [pytest.approx(middle - 0.3)]
    assert places(middle, middle + 0.2, middle - 0.1) == [pytest.approx(middle - 0.6)]
    assert places(middle, middle + 0.4, middle - 0.4) == []  # nowhere beside both
