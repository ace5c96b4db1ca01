"""What memories do: the same figures as three runs over the videos, each with other reads."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from stub_run import HISTORY, street

import oddframe
from oddframe.data import open_dataset
from oddframe.evaluation.evaluate import evaluate
from oddframe.evaluation.memories import EVERY, LOOK, WAYS, _mean_reads, watching
from oddframe.judging.named import parse_protocols
from oddframe.models.memory import Memory
from oddframe.scoring.scorer import Scorer
from oddframe.scoring.settings import ScoreConfig

FRAMES, ODD = 30, 18


@pytest.fixture(scope="module")
def streets(tmp_path_factory):
    import cv2

    root = tmp_path_factory.mktemp("data")
    labels = {}
    for name, start in (("a", 0), ("b", 100)):
        folder = root / "testing" / "frames" / name
        folder.mkdir(parents=True)
        for i in range(FRAMES):
            image = street(start + i, odd_from=start + ODD)
            cv2.imwrite(str(folder / f"{i:03d}.png"), image)
        labels[name] = (np.arange(FRAMES) >= ODD).astype(np.uint8)
    normal = root / "training" / "frames" / "n"
    normal.mkdir(parents=True)
    for i in range(8):
        cv2.imwrite(str(normal / f"{i:03d}.png"), street(i))
    np.savez(root / "labels.npz", **labels)
    return open_dataset(root)


@pytest.fixture
def detector(shared_run):
    found = oddframe.load(shared_run)
    torch.manual_seed(3)
    for head in (found.model.decode_app.head, found.model.decode_motion.head):
        torch.nn.init.normal_(head.weight, std=0.3)  # an untrained one hardly draws
    return found


def slowly(model, dataset):
    """The PSNRs of every frame after the first scored one, by the scorer, in one way of reading."""
    scorer = Scorer(model, ScoreConfig(flow=False))
    rows = []
    for video in dataset.test:
        state = scorer.init_state()
        seen_of = []
        with oddframe.open_source(video.path) as source:
            for frame in source:
                state, seen = scorer.observe(state, frame.image)
                if seen is not None:
                    seen_of.append((seen.psnr_frame, seen.psnr_motion))
        rows.append(np.array(seen_of)[1::EVERY])
    return rows


def fixed(model, values):
    """Hooks that give every memory one read."""
    banks = {n: m for n, m in model.named_modules() if isinstance(m, Memory)}
    return [
        bank.register_forward_hook(lambda m, args, _, v=values[n]: m.joined(args[0], v))
        for n, bank in banks.items()
    ]


def test_the_three_ways_are_those_of_three_runs(detector, streets):
    model = detector.model
    banks = {n: m for n, m in model.named_modules() if isinstance(m, Memory)}
    reads = {n: [] for n in banks}
    hooks = [
        bank.register_forward_pre_hook(
            lambda m, args, n=n: reads[n].append(m.recall(args[0]).flatten(0, -2))
        )
        for n, bank in banks.items()
    ]
    wanted = {"with": slowly(model, streets)}
    for hook in hooks:
        hook.remove()
    first = FRAMES - HISTORY + 1  # windows of the first video, shorter than LOOK
    assert first < LOOK
    mean = {n: torch.cat(found[:first]).mean(0) for n, found in reads.items()}
    for way, values in (("constant", mean), ("without", {n: 0 * m for n, m in mean.items()})):
        hooks = fixed(model, values)
        wanted[way] = slowly(model, streets)
        for hook in hooks:
            hook.remove()
    with watching(detector, streets) as effect:
        found = evaluate(detector, streets, parse_protocols("deploy"), floors=(), regions=False)
    result = effect.result(found.videos)
    odd = np.concatenate([v.labels[HISTORY + 1 :: EVERY] for v in found.videos]) > 0
    assert 0 < odd.sum() < len(odd)
    for way in WAYS:
        rows = np.concatenate(wanted[way])
        for kind, among in (("normal", ~odd), ("odd", odd)):
            want = rows[among].mean(0)
            assert result[way][kind]["frame"] == pytest.approx(want[0], abs=1e-4)
            assert result[way][kind]["motion"] == pytest.approx(want[1], abs=1e-4)
        assert 0 <= result[way]["auc"] <= 1
    without = effect.result(found.videos[1:])["with"]["odd"]  # a first one that had no score
    among = found.videos[1].labels[HISTORY + 1 :: EVERY] > 0
    assert without["frame"] == pytest.approx(wanted["with"][1][among].mean(0)[0], abs=1e-4)
    frames = [result[way]["odd"]["frame"] for way in WAYS]
    assert len({round(value, 5) for value in frames}) == 3  # the ways do differ here
    assert {f"memory.{name}" for name in result["memories"]} == banks.keys()
    assert all(1 <= m["in_use"] <= m["items"] == 4 for m in result["memories"].values())


def test_a_first_video_too_short_for_the_model_is_passed_over(detector, streets):
    short, long = streets.test
    cut = replace(short, path=short.path.parent / "short")
    cut.path.mkdir()
    for file in sorted(short.path.iterdir())[: HISTORY - 1]:
        (cut.path / file.name).write_bytes(file.read_bytes())
    data = replace(streets, test=(cut, long))
    assert _mean_reads(detector, data).keys() == {f"memory.{p}" for p in detector.model.memory}
    assert _mean_reads(detector, replace(streets, test=(cut,))) == {}


def test_afterwards_the_model_is_as_it_was(detector, streets):
    model = detector.model
    with watching(detector, streets):
        assert "decode" in vars(model)
    assert not {"decode", "init_state"} & vars(model).keys()
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_a_model_without_memories_has_nothing_to_watch(detector, streets):
    detector.model.memory = torch.nn.ModuleDict()
    with watching(detector, streets) as effect:
        assert effect is None
