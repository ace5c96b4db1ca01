"""What the tests of exports share: tiny models, a scene, pictures with something that moves."""

from itertools import pairwise

import cv2
import numpy as np
import torch

from oddframe.bench.tiny import tiny
from oddframe.export.plan import plan_model
from oddframe.models import MODELS, build, entry
from oddframe.models.flow_windowed import dis_pixels
from oddframe.runs import save_run
from oddframe.scoring.scene import SceneFit, StreamScene
from oddframe.scoring.scorer import Scorer
from oddframe.scoring.settings import ScoreConfig

SCENE = {
    "frame": StreamScene(0.4, 1.0, -3.0, 0.7, 1e-5),
    "motion": StreamScene(1.0, 0.6, -5.0, 0.9, 1e-5),
}
PLAIN = ScoreConfig(flow=False)
TINY = [name for name in MODELS if name.endswith("-128") or name == "m2s2l-edge"]
"""One name of every model file."""
assert len({entry(name).module for name in MODELS}) == len(TINY)


def made(name, seed=0):
    """An untrained tiny model."""
    torch.manual_seed(seed)
    return build(name, tiny(name)).eval()


def picture(index, height, width):
    """(h, w, 3) BGR: noise, a block that walks, and from the 6th on one that blinks."""
    rng = np.random.default_rng(index)
    image = np.full((height, width, 3), (60, 90, 120), np.float64)
    x = 3 * index % (width - 9)
    image[height // 2 : height // 2 + 9, x : x + 9] = (200, 80, 30)
    if index > 5 and index % 2:
        image[2:11, -12:-3] = 250
    return np.clip(image + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8)


def planned(net, config=PLAIN, kind="step", scan="unrolled", name="mnad-128"):
    return plan_model(name, net, config, SCENE, kind, scan)


def by_scorer(net, pictures, config=PLAIN):
    """What torch makes of a video: scores, and the observation behind each (None: no score)."""
    scorer = Scorer(net, config, SCENE)
    state, found = scorer.init_state(), []
    for image in pictures:
        state, seen = scorer.observe(state, image)
        state, score = scorer.score(state, seen, 0.0)
        found.append((score, seen))
    return found


def flows(net, pictures):
    """The input `flow` for each picture of the model's size, (2, s, s); None where none is."""
    if getattr(net, "flow", "rgbdiff") == "rgbdiff":
        return [None] * len(pictures)
    frames = [
        torch.from_numpy(p[..., ::-1].copy()).movedim(-1, 0)[None] / 127.5 - 1 for p in pictures
    ]
    first = torch.zeros(2, net.size, net.size)
    return [first, *(dis_pixels(a, b)[0] for a, b in pairwise(frames))]


def write_run(folder, name, score=None, threshold=2.0):
    """An untrained RUN of a tiny model with its scene; optical flow too, unless `score` says so."""
    net, score = made(name), score or ScoreConfig()
    scorer, fitting = Scorer(net, score), SceneFit()
    state = scorer.init_state()
    for index in range(24):
        state, seen = scorer.observe(state, picture(index, 48, 64))
        if seen is not None:
            fitting.add(seen.local)
    configs = {
        "model": tiny(name).model_dump(mode="json"), "score": score.model_dump(mode="json"),
        "train": {"average": 0},
    }  # fmt: skip
    calibration = None if threshold is None else {"threshold": threshold, "alarms_per_day": 1.0}
    save_run(folder, name, net, configs, fitting.fit(), calibration, {"fps": 25.0})
    return folder


def write_video(folder, frames=18, height=48, width=64):
    """A folder of pictures."""
    folder.mkdir(parents=True)
    for index in range(frames):
        assert cv2.imwrite(str(folder / f"{index:03d}.png"), picture(index, height, width))
    return folder
