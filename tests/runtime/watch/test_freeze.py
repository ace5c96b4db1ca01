"""A frozen picture, and what is none: a room where nothing happens, strong compression."""

import numpy as np
import pytest

from oddframe.pictures import Plain
from oddframe.runtime.watch import freeze
from oddframe.runtime.watch.freeze import FEWEST, RECENT, State, every_s, sample, step
from oddframe.sources import open_source

FROZEN_S = 30.0
SHAPE = (freeze.ROWS, freeze.COLUMNS)


class Camera:
    """Looks once a second; what it shows is up to the test."""

    def __init__(self):
        self.rng = np.random.default_rng(0)
        self.scene = self.rng.integers(60, 200, SHAPE)
        self.last, self.state, self.now_s = self.scene, State(), 0.0

    def see(self, picture, every=1.0):
        self.now_s += every
        self.last = picture
        self.state = step(self.state, picture.astype(np.uint8), self.now_s, FROZEN_S)
        return self.state.frozen

    def noisy(self, looks, sigma=2.0):
        noise = self.rng.normal(0, sigma, (looks, *SHAPE))
        return [self.see(np.clip(self.scene + n, 0, 255).astype(np.uint8)) for n in noise]

    def compressed(self, looks, share=0.01):
        """Only so many pixels change from look to look."""
        found = []
        for _ in range(looks):
            picture = self.last.copy()
            where = self.rng.random(SHAPE) < share
            where[0, 0] = True
            picture[where] = (picture[where] + 1) % 250
            found.append(self.see(picture))
        return found

    def still(self, looks):
        return [self.see(self.last) for _ in range(looks)]


def first(found):
    return found.index(True) + 1 if True in found else None


def test_a_camera_with_noise_that_stands_still_is_frozen():
    camera = Camera()
    assert not any(camera.noisy(60))
    assert first(camera.still(60)) == FROZEN_S
    assert camera.state.frozen
    assert not any(camera.noisy(1))  # and lives again with the first picture that changes


def test_nothing_is_said_of_a_camera_that_never_changed():
    assert not any(Camera().still(3600))


def test_nor_of_one_that_is_hardly_known():
    camera = Camera()
    camera.noisy(FEWEST // 2)
    assert not any(camera.still(300))


def test_nor_of_one_whose_quietest_seconds_are_without_any_change():
    camera = Camera()
    for _ in range(30):
        camera.compressed(8)
        camera.still(3)
    assert not any(camera.still(600))


def test_a_clock_that_is_written_into_a_frozen_picture_changes_little():
    camera = Camera()
    camera.noisy(60)
    assert first(camera.compressed(60, share=0.02)) == FROZEN_S


def test_strong_compression_is_not_frozen():
    camera = Camera()
    assert not any(camera.compressed(600, share=0.004))


def test_and_is_where_even_that_stops():
    camera = Camera()
    camera.compressed(120, share=0.004)
    assert first(camera.still(60)) == FROZEN_S


def test_a_stillness_that_passed_by_itself_is_borne_the_next_time():
    camera = Camera()
    camera.noisy(60)
    camera.still(200)
    camera.noisy(20)
    waited = first(camera.still(1000))
    assert waited == pytest.approx(400, abs=5)
    camera.noisy(20)
    assert first(camera.still(300)) is None


def test_but_not_one_that_a_new_connection_cured():
    camera = Camera()
    camera.noisy(60)
    assert first(camera.still(40)) == FROZEN_S
    camera.state = freeze.reconnected(camera.state)
    assert all(camera.noisy(freeze.WARM))  # an encoder that begins refines a still picture
    assert not any(camera.noisy(20))
    assert first(camera.still(60)) == FROZEN_S


def test_one_that_a_new_connection_only_hid_is_borne():
    camera = Camera()
    camera.noisy(60)
    camera.still(40)
    camera.state = freeze.reconnected(camera.state)
    camera.noisy(freeze.WARM + 2)
    assert first(camera.still(200)) > 1.8 * FROZEN_S


def test_what_was_borne_is_forgotten():
    camera = Camera()
    camera.noisy(60)
    camera.still(200)
    camera.noisy(5)
    camera.now_s += 3 * freeze.FORGET_S
    camera.noisy(5)
    assert first(camera.still(100)) == pytest.approx(FROZEN_S, abs=1)


def test_another_picture_is_learned_anew():
    camera = Camera()
    camera.noisy(300)  # by day
    camera.state = freeze.changed_picture(camera.state)
    assert not any(camera.compressed(300, share=0.02))  # in infrared, without noise


def test_a_size_that_changes_is_no_stillness():
    camera = Camera()
    camera.noisy(60)
    camera.still(29)
    camera.state = step(camera.state, np.zeros((4, 4), np.uint8), camera.now_s + 1, FROZEN_S)
    assert not camera.state.frozen


def test_what_is_kept_is_bounded():
    camera = Camera()
    camera.noisy(RECENT + 50)
    assert len(camera.state.changes) == RECENT


def test_looks_are_as_often_as_the_limit_asks_for():
    assert every_s(30.0) == 1.0
    assert every_s(3.0) == pytest.approx(0.1)
    assert every_s(1000.0) == 1.0
    assert every_s(0.5) == 0.1


def test_decoded_pictures_are_sampled_without_being_converted(make_video, tmp_path):
    with open_source(make_video(tmp_path / "a.mp4", frames=3)) as source:
        frames = [frame.picture for frame in source]
    points = [sample(picture) for picture in frames]
    assert points[0].shape == SHAPE
    assert points[0].dtype == np.uint8
    assert (points[0] != points[1]).any()
    grey = frames[0].whole().mean(axis=2)[::1, ::1]
    rows = np.linspace(0, grey.shape[0] - 1, freeze.ROWS).astype(int)
    columns = np.linspace(0, grey.shape[1] - 1, freeze.COLUMNS).astype(int)
    assert np.corrcoef(points[0].ravel(), grey[np.ix_(rows, columns)].ravel())[0, 1] > 0.8
    assert not frames[0]._sized
    assert sample(Plain(frames[0].whole())).shape == SHAPE


@pytest.mark.data
@pytest.mark.parametrize("hour", ["00-03", "02-12"])
def test_an_hour_of_a_real_room_is_never_frozen(real_data, hour):
    """H.264 with 50 s between key frames: in a quiet second 0.3 % of the pixels change."""
    state, last_s = State(), -1.0
    with open_source(real_data("upcam") / "training" / f"{hour}.mp4") as source:
        for frame in source:
            if frame.pts_s > 900:
                break
            if frame.pts_s - last_s >= 1:
                last_s = frame.pts_s
                state = step(state, sample(frame.picture), last_s, FROZEN_S)
                assert not state.frozen, last_s
    last = state.points
    for second in range(1, 40):  # and is where it would stand still
        state = step(state, last, last_s + second, FROZEN_S)
    assert state.frozen
