"""What a recipe and a row of a table change in `fit`: schedule, footage, clocks, card."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
import time
from itertools import pairwise

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file
from test_fit import TINY, curve, tiny_fit

from oddframe.errors import ConfigError, RunError
from oddframe.models import memory
from oddframe.models.memory import Memory
from oddframe.train.budget import Budget
from oddframe.train.fit import configs
from oddframe.train.module import Batches, FitModule, TrainConfig
from oddframe.train.progress import Watch
from oddframe.train.split import Span, hold_out
from oddframe.train.started import differences


@pytest.fixture
def normal(make_video, tmp_path):
    return make_video(tmp_path / "normal.avi", frames=90)


@pytest.fixture
def short(make_video, tmp_path):
    return make_video(tmp_path / "short.avi", frames=60)


class Footage(Batches):
    """40 runs of frames, without any."""

    def __init__(self):
        super().__init__(None, [Span(0, 44)], 5, 4, 0)


def rates(steps, epochs=None, **config):
    module = FitModule(
        torch.nn.Linear(1, 1), TrainConfig(targets=1, batch=4, **config), Footage(), epochs
    )
    assert module.epoch_steps == 10
    return [module._rate(s) for s in steps]


def test_the_rate_is_halved_or_falls_along_a_cosine_or_stays():
    assert rates([0, 39, 40, 80], halve_every=4) == [1, 1, 0.5, 0.25]
    assert rates([0, 500], schedule="none") == [1, 1]
    cosine = rates([0, 25, 50, 100, 150], schedule="cosine", epochs=10)
    quarter = (1 + math.cos(math.pi / 4)) / 2
    assert cosine == pytest.approx([1, quarter, 0.5, 0, 0])
    assert rates([300], schedule="cosine") == pytest.approx([0.5])  # of the configured 60 epochs
    assert rates([400], schedule="none", calm_after=100) == [0.5]


@pytest.mark.parametrize(
    ("optimiser", "kind"),
    [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW), ("adagrad", torch.optim.Adagrad)],
)
def test_the_optimiser(optimiser, kind):
    config = TrainConfig(optimiser=optimiser, lr=0.25)
    module = FitModule(torch.nn.Linear(1, 1), config, Footage())
    (made,), _ = module.configure_optimizers()
    assert type(made) is kind
    assert made.param_groups[0]["lr"] == 0.25


@pytest.mark.parametrize("lengths", [[100] * 16, [400, 100], [30]], ids=["many", "few", "one"])
def test_nothing_kept_aside_is_an_eighth_looked_at_again(lengths):
    ends = np.cumsum([0, *lengths])
    videos = [Span(int(a), int(b)) for a, b in pairwise(ends)]
    split = hold_out(videos, 0, 20)
    assert split.in_training
    assert split.train == tuple(videos)
    for piece in split.held:
        assert len(piece) >= 20
        assert any(v.start <= piece.start < piece.stop <= v.stop for v in videos)
    starts = [p.start for p in split.held]
    assert starts == sorted(set(starts))
    if len(lengths) > 2:
        assert sum(map(len, split.held)) == sum(lengths) / 8


def test_pieces_of_a_long_video_lie_evenly():
    held = hold_out([Span(0, 8000)], 0, 20).held
    assert sum(map(len, held)) == pytest.approx(1000, abs=64)
    gaps = np.diff([p.start for p in held])
    assert len(held) > 10
    assert gaps.max() - gaps.min() <= 1


@pytest.mark.slow
def test_where_training_saw_all_card_and_words_say_so(normal, tmp_path, capsys):
    said = Console(file=(tmp_path / "said").open("w"), width=500)
    run = tiny_fit(normal, tmp_path / "all", settings=[*TINY, "train.hold_out=0"], console=said)
    said.file.close()
    facts = run.card["training"]
    assert facts["held_out_in_training"] is True
    assert facts["frames"] == 90
    assert 0 < facts["held_out"] < 90
    text = (tmp_path / "said").read_text()
    assert (
        f"none kept aside (the scene's range and the threshold come from {facts['held_out']}"
        in (text)
    )
    assert run.threshold > 0
    assert tiny_fit(normal, tmp_path / "some").card["training"]["held_out_in_training"] is False


def test_the_row_is_in_the_card_and_a_resumed_run_must_have_it(normal, tmp_path):
    run = tiny_fit(normal, tmp_path / "run", ablation="ii-3", recipe="paper")
    assert (run.card["ablation"], run.card["recipe"]) == ("M3", "paper")
    assert not run.model_config.decompose
    assert run.card["config"]["train"]["average"] == 0
    plan = json.loads((tmp_path / "run" / "resume" / "plan.json").read_text())
    assert plan["ablation"] == "M3"
    said = r"otherwise: --ablation M3, now M4; model\.decompose false, now true\. "
    with pytest.raises(RunError, match=said):
        tiny_fit(normal, tmp_path / "run", recipe="paper", ablation="M4", resume=True)
    assert tiny_fit(normal, tmp_path / "plain").card["ablation"] is None


@pytest.mark.slow
def test_a_cosine_resumes_over_the_same_epochs(normal, tmp_path):
    settings = [*TINY, "train.schedule=cosine"]
    tiny_fit(normal, tmp_path / "run", settings=settings, epochs=1)
    with pytest.raises(RunError, match=r"otherwise: --epochs 1, now 2\. .*same --epochs too"):
        tiny_fit(normal, tmp_path / "run", settings=settings, epochs=2, resume=True)


def test_a_cosine_that_reached_0_ends_with_time_left(short, tmp_path):
    run = tiny_fit(
        short, tmp_path / "run", settings=[*TINY, "train.schedule=cosine", "train.epochs=1"],
        epochs=None, core_minutes=0.5,
    )  # fmt: skip
    assert run.card["training"]["epochs"] == 1
    assert run.card["training"]["core_minutes"] < 0.5


def fit_cut(monkeypatch, data, out, after, **options):
    """`tiny_fit`, stopped on request after so many steps, then resumed."""
    with monkeypatch.context() as patch:
        end = Watch.on_train_batch_end

        def stop(watch, trainer, *args):
            watch.asked = trainer.global_step == after
            end(watch, trainer, *args)

        patch.setattr(Watch, "on_train_batch_end", stop)
        with pytest.raises(KeyboardInterrupt):
            tiny_fit(data, out, **options)
    assert len(curve(out)) == 1 + after
    return tiny_fit(data, out, resume=True, **options)


def same(one, other):
    """Whether two runs have the same curve and the same bits in every weight and buffer."""
    a, b = (load_file(run.path / "model.safetensors") for run in (one, other))
    return curve(one.path) == curve(other.path) and all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.slow
def test_a_cosine_that_is_cut_falls_on_as_if_it_were_not(short, tmp_path, monkeypatch):
    options = {"settings": [*TINY, "train.schedule=cosine", "train.calm_after=0"], "epochs": 2}
    whole = tiny_fit(short, tmp_path / "whole", **options)
    steps = whole.card["training"]["steps"]
    rates = [float(row[1]) for row in curve(whole.path)[1:]]
    want = [5e-4 * (1 + math.cos(math.pi * (i + 1) / steps)) for i in range(steps)]
    assert rates == pytest.approx(want, rel=1e-4, abs=1e-9)
    # Late in the first of its epochs: not where one ends.
    cut = fit_cut(monkeypatch, short, tmp_path / "cut", after=steps // 2 - 2, **options)
    assert same(whole, cut)


@pytest.mark.slow
def test_memories_that_revive_and_are_centred_resume_exactly(short, tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "FORGET", 0.5)
    monkeypatch.setattr(memory, "IDLE", 0.5)
    moved, revive = [], Memory._revive

    def counted(self, *args):
        before = self.items.clone()
        revive(self, *args)
        moved.append(int((self.items != before).any(-1).sum()))

    monkeypatch.setattr(Memory, "_revive", counted)
    settings = [*TINY, "model.memory_items=8", "model.memory_centre=true"]
    whole = tiny_fit(short, tmp_path / "whole", settings=settings, epochs=2)
    seen, steps = list(moved), whole.card["training"]["steps"]
    memories = len(seen) // steps
    after = steps // 2 - 2
    moved.clear()
    cut = fit_cut(monkeypatch, short, tmp_path / "cut", after, settings=settings, epochs=2)
    assert moved == seen
    assert sum(seen[: after * memories]) > 0 < sum(seen[after * memories :])
    assert same(whole, cut)


def test_a_training_that_is_over_is_resumed_without_a_step(short, tmp_path):
    run = tiny_fit(short, tmp_path / "run", epochs=1)
    before, steps = curve(run.path), run.card["training"]["steps"]
    weights = (run.path / "model.safetensors").read_bytes()
    again = tiny_fit(short, run.path, epochs=1, resume=True)
    assert again.card["training"]["steps"] == steps == len(before) - 1
    assert curve(run.path) == before
    assert (run.path / "model.safetensors").read_bytes() == weights
    assert tiny_fit(short, run.path, epochs=2, resume=True).card["training"]["steps"] == 2 * steps


def test_a_new_training_makes_a_step_however_little_time_is_left(short, tmp_path):
    run = tiny_fit(short, tmp_path / "run", epochs=None, minutes=1e-6)
    assert run.card["training"]["steps"] == 1


def test_a_precision_that_does_not_train_is_refused():
    assert configs("m2s2l-edge", ["train.precision=bf16-mixed"]).train.precision == "bf16-mixed"
    said = "train.precision: .*'32-true' or 'bf16-mixed', found 'bf16-true'"
    with pytest.raises(ConfigError, match=said):
        configs("m2s2l-edge", ["train.precision=bf16-true"])


def test_what_differs_of_a_resumed_run_is_named_with_both_values():
    before = {
        "model": "mnad", "seed": 0, "data": "ab" * 32, "ablation": None, "flow": "dis at [64, 64]",
        "config": {"model": {"width": 8, "gone": 1}, "train": {"lr": 0.1}},
    }  # fmt: skip
    assert differences(before, before) == []
    now = {
        **before, "seed": 5, "data": "cd" * 32, "ablation": "M1", "flow": "files made elsewhere",
        "config": {"model": {"width": 16, "new": [1, 2]}, "train": {"lr": 0.1}}, "epochs": 3,
    }  # fmt: skip
    assert differences(before, now) == [
        "--seed 0, now 5",
        "footage of --data abababababab, now cdcdcdcdcdcd",
        "--ablation none, now M1",
        "--flow dis at [64, 64], now files made elsewhere",
        "--epochs none, now 3",
        "model.width 8, now 16",
        "model.new none, now [1, 2]",
        "model.gone 1, now none",
    ]
    assert differences(before, {**now, "model": "ffp"}) == ["--model mnad, now ffp"]


# ---- clocks


def test_a_budget_ends_with_the_first_of_its_clocks():
    assert Budget().used(100, 100) == 0
    assert Budget(core_minutes=1).used(1000, 30) == 0.5
    assert Budget(minutes=1, core_minutes=1).used(45, 30) == 0.75
    assert not Budget(epochs=3).timed


@pytest.mark.parametrize("value", [0, -1, float("nan")])
@pytest.mark.parametrize("limit", ["minutes", "core_minutes", "epochs", "steps"])
def test_a_budget_of_nothing_is_refused(normal, tmp_path, limit, value):
    with pytest.raises(ConfigError, match=f"--{limit.replace('_', '-')} must be a number above 0"):
        tiny_fit(normal, tmp_path / "run", **{limit: value})


def test_core_minutes_stop_on_processor_time(normal, tmp_path):
    before = time.process_time()
    run = tiny_fit(normal, tmp_path / "run", epochs=None, core_minutes=0.05)
    spent = time.process_time() - before
    facts = run.card["training"]
    assert 3 <= 60 * facts["core_minutes"] <= spent + 0.1
    assert facts["steps"] > 2
    assert {"minutes", "core_minutes"} <= facts.keys()


KILLED = """
import sys
import oddframe.train.progress as progress
from oddframe.train.fit import Budget, Wanted, fit
from rich.console import Console
progress.SAVE_EVERY_S = 0.2
fit(Wanted("m2s2l-edge", sys.argv[3:]), sys.argv[1], sys.argv[2], Budget(core_minutes=10),
    console=Console(quiet=True))
"""


@pytest.mark.slow
def test_a_killed_run_keeps_its_count_of_processor_time(normal, tmp_path):
    out = tmp_path / "run"
    child = subprocess.Popen([sys.executable, "-c", KILLED, str(normal), str(out), *TINY])
    try:
        deadline = time.monotonic() + 90
        rows = 0
        while time.monotonic() < deadline and child.poll() is None and rows < 30:
            path = out / "train.csv"
            rows = path.read_bytes().count(b"\n") if path.exists() else 0
            time.sleep(0.02)
        child.send_signal(signal.SIGKILL)
        child.wait(60)
    finally:
        child.kill()
    state = torch.load(out / "resume" / "state.ckpt", weights_only=False)
    (spent,) = (c["core_s"] for c in state["callbacks"].values() if "core_s" in c)
    assert spent > 1
    # The limit is already used up, so there is no step more.
    run = tiny_fit(normal, out, epochs=None, core_minutes=spent / 60, resume=True)
    assert run.card["training"]["steps"] == state["global_step"]
    assert 60 * run.card["training"]["core_minutes"] >= spent
