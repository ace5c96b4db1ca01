"""The picture became another one: what must be noticed, and what crosses it every day."""

import statistics
import time

import cv2
import numpy as np
import pytest

from oddframe.runtime.watch import upheaval
from oddframe.runtime.watch.upheaval import SIZE, State, step
from oddframe.sources import open_source
from oddframe.synth import SynthConfig, render_clip

FPS = 10
WHEN = 30
"""The frame at which the test changes something."""
CONFIG = SynthConfig(seed=5, fps=FPS, people=8, width=240, height=160)


@pytest.fixture(scope="module")
def street():
    """9 s of the made street, with people, noise and light that drifts."""
    return [frame.image for frame in render_clip(CONFIG, 1, None, 9.0)]


def small(image):
    return cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_AREA)


def run(images, fps=FPS):
    """What was found, as (kind, seconds), and per frame whether scores count."""
    state, found, settled = State(), [], []
    for i, image in enumerate(images):
        state, upheaved = step(state, small(image), i / fps)
        settled.append(state.settled)
        if upheaved:
            found.append((upheaved.kind, upheaved.pts_s))
    return found, settled


def since(street, change):
    """The street, with `change` applied from frame `WHEN` on."""
    return [change(image) if i >= WHEN else image for i, image in enumerate(street)]


def shifted(share, dx=1.0, dy=0.0):
    def change(image):
        h, w = image.shape[:2]
        moved = np.float32([[1, 0, share * w * dx], [0, 1, share * w * dy]])
        return cv2.warpAffine(image, moved, (w, h), borderMode=cv2.BORDER_REFLECT)

    return change


def grey(image):
    return np.repeat(image.mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2)


def tinted(image):
    """As infrared of some cameras: violet all over."""
    return np.clip(grey(image) + np.float32([14, 0, 10]), 0, 255).astype(np.uint8)


def infrared(image):
    """Lit from the camera: other brightness as well."""
    return np.clip(250 - 0.8 * grey(image).astype(float), 0, 255).astype(np.uint8)


def lit(image):
    return np.clip(image.astype(float) * 1.7, 0, 255).astype(np.uint8)


def unlit(image):
    return (image * 0.5).astype(np.uint8)


def black(image):
    return np.random.default_rng(int(image.sum()) % 99).integers(0, 6, image.shape, np.uint8)


def hand(image):
    """A lens that is covered: brown, blurred."""
    return np.clip(cv2.blur(np.full_like(image, (60, 70, 90)), (9, 9)), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("change", "kinds"),
    [
        (shifted(0.06), {"moved"}),
        (shifted(0.06, 0, 1), {"moved"}),
        (shifted(0.1, -0.7, 0.7), {"moved"}),
        (shifted(0.3), {"moved"}),
        (lambda image: image[::-1].copy(), {"moved", "light"}),
        (grey, {"infrared"}),
        (tinted, {"infrared"}),
        (infrared, {"infrared"}),
        (lit, {"light"}),
        (unlit, {"light"}),
        (black, {"dark"}),
        (hand, {"dark"}),
    ],
    ids=["6 % right", "6 % down", "10 % aslant", "far", "upside down", "colour goes",
         "infrared with a tint", "infrared", "light on", "light off", "black", "covered"],
)  # fmt: skip
def test_all_of_the_picture_changes(street, change, kinds):
    found, settled = run(since(street, change))
    assert len(found) == 1
    kind, at_s = found[0]
    assert kind in kinds
    assert WHEN / FPS + upheaval.HOLD_S <= at_s <= WHEN / FPS + 0.6
    assert all(settled[: round(at_s * FPS)])
    unsettled_s = settled[round(at_s * FPS) :].index(True) / FPS
    assert upheaval.SETTLE_S <= unsettled_s < upheaval.SETTLE_S + 1.5
    assert settled[-1]


def test_and_back(street):
    """From infrared to colour, from the dark to light."""
    for change, back in ((grey, "colour"), (black, "light")):
        found, _ = run([change(image) if i < 35 else image for i, image in enumerate(street)])
        assert [kind for kind, _ in found] == [back]


def bus(image, i, colour, share=1 / 3):
    """A bus of a third of the picture that crosses it in four seconds."""
    h, w = image.shape[:2]
    out = image.copy()
    left = round((i - WHEN) / 40 * (w * (1 + share)) - w * share)
    x0, x1 = max(left, 0), min(left + round(w * share), w)
    if x0 < x1:
        out[:, x0:x1] = colour
        out[h // 3 : h // 2, x0 + (x1 - x0) // 8 : x1 - (x1 - x0) // 8] = (30, 25, 25)
    return out


@pytest.mark.parametrize("colour", [(30, 30, 200), (230, 230, 230), (20, 20, 20)])
@pytest.mark.parametrize("scene", [lambda image: image, grey], ids=["colour", "grey"])
def test_a_bus_is_not_all_of_the_picture(street, colour, scene):
    images = [bus(scene(image), i, colour) for i, image in enumerate(street)]
    found, settled = run(images)
    assert not found
    assert all(settled)


def test_what_happens_every_day(street):
    found, _ = run(street)
    assert not found
    crowd = SynthConfig(seed=5, fps=FPS, people=20, noise=6, width=160, height=120)
    found, _ = run([frame.image for frame in render_clip(crowd, 2, "cart", 5.0)])
    assert not found


def test_a_flash_is_none(street):
    images = [lit(image) if 30 <= i < 32 else image for i, image in enumerate(street)]
    assert run(images)[0] == []


def test_gain_that_follows_slowly_is_none(street):
    """Clouds: 40 % less light within eight seconds."""
    images = [(image * (1 - 0.005 * i)).astype(np.uint8) for i, image in enumerate(street)]
    assert run(images)[0] == []


def test_a_camera_that_trembles_does_not_move(street):
    rng = np.random.default_rng(0)
    images = [shifted(0.01, *rng.uniform(-1, 1, 2))(image) for image in street]
    assert run(images)[0] == []


def test_noise_where_there_is_nothing_to_see_is_no_other_picture():
    rng = np.random.default_rng(0)
    images = [
        np.clip(rng.normal(30, 25, (240, 360, 1)), 0, 255).astype(np.uint8).repeat(3, axis=2)
        for _ in range(60)
    ]
    assert run(images)[0] == []


def test_no_score_counts_until_the_picture_is_steady(street):
    """Knocked about for four seconds, then left alone."""
    rng = np.random.default_rng(0)

    def change(i, image):
        if i < WHEN:
            return image
        return shifted(rng.uniform(0.1, 0.4) if i < WHEN + 20 else 0.2)(lit(image))

    images = [change(i, image) for i, image in enumerate(street)]
    found, settled = run(images)
    first = round(found[0][1] * FPS)
    assert not any(settled[first : WHEN + 20 + round(upheaval.SETTLE_S * FPS)])
    assert settled[-1]


def test_a_picture_that_is_never_steady_is_taken_as_it_is(street, monkeypatch):
    monkeypatch.setattr(upheaval, "PATIENCE_S", 3.0)
    images = [
        (lit if i // 3 % 2 else unlit)(image) if i >= WHEN else image
        for i, image in enumerate(street)
    ]
    found, settled = run(images)
    first = round(found[0][1] * FPS)
    assert settled[first:].index(True) / FPS == pytest.approx(3.0, abs=0.15)


@pytest.mark.parametrize("fps", [1, 2, 5, 25])
def test_it_is_seen_at_any_rate(street, fps):
    still = [street[i % 3] for i in range(2 * WHEN)]
    found, _ = run(since(still, shifted(0.1)), fps)
    assert [kind for kind, _ in found] == ["moved"]
    assert found[0][1] - WHEN / fps <= upheaval.HOLD_S + 2 / min(fps, 1 / upheaval.EVERY_S)


def test_steps_are_pure(street):
    state = State()
    for i, image in enumerate(street[:20]):
        state, _ = step(state, small(image), i / FPS)
    changed = small(lit(street[20]))
    one = step(state, changed, 2.0)
    other = step(state, changed, 2.0)
    assert one[0].since_s == other[0].since_s
    assert one[0].suspect is other[0].suspect
    assert state.suspect is None


def test_it_is_cheap(street):
    pictures = [small(image) for image in street]
    state, took = State(), []
    for i, picture in enumerate(pictures * 3):
        began = time.thread_time()
        state, _ = step(state, picture, i / FPS)
        took.append(time.thread_time() - began)
    assert statistics.median(took) < 0.0005  # 0.17 ms on the machine that it was written on


@pytest.mark.data
@pytest.mark.parametrize(
    "clip",
    ["ped2/testing/02.mp4", "ped2/testing/11.mp4", "avenue-part/testing/19.avi",
     "avenue-part/training/11.mp4", "clips/campus.avi", "scenes/cdnet_highway.avi",
     "scenes/pets2001_ds3_cam1.mp4", "scenes/office-visited.mp4"],
)  # fmt: skip
def test_nothing_is_noticed_in_real_clips_and_a_shift_is(real_data, clip):
    folder, _, rest = clip.partition("/")
    with open_source(real_data(folder) / rest) as source:
        every = max(1, round(source.info.fps / 5))
        images = [frame.at(128) for frame in source if frame.index % every == 0][:120]
    found, _ = run(images, 5)
    assert not found
    half = len(images) // 2
    found, _ = run(images[:half] + [shifted(0.06)(image) for image in images[half:]], 5)
    assert [kind for kind, _ in found][:1] == ["moved"]


@pytest.mark.data
@pytest.mark.parametrize(
    ("hour", "at_s", "kind"), [("00-07", 1456.6, "colour"), ("00-23", 2878.0, "dark")]
)
def test_a_real_switch_between_day_and_infrared(real_data, hour, at_s, kind):
    state, found = State(), []
    with open_source(real_data("upcam") / "training" / f"{hour}.mp4") as source:
        for frame in source.frames_from(at_s - 60):
            state, upheaved = step(state, frame.at(SIZE), frame.pts_s)
            if upheaved:
                found.append(upheaved)
            if frame.pts_s > at_s + 30:
                break
    assert [upheaved.kind for upheaved in found] == [kind]
    assert at_s <= found[0].pts_s < at_s + 1
    assert state.settled
