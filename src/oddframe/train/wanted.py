"""What is to be trained: a model size, a recipe, a row of its ablations, settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import create_model

from oddframe.config import Config, parsed
from oddframe.errors import ConfigError
from oddframe.models import ablated, ablation_name, build, default_config, entry, recipe
from oddframe.models.base import VADModel
from oddframe.models.recompute import blocks_of
from oddframe.scoring.fuse import NO_NETWORK, OWN
from oddframe.scoring.settings import ScoreConfig
from oddframe.train.module import SAME_NUMBERS, TrainConfig

RECIPES = ("size", "paper")
"""What `--recipe` takes: the size's own settings, or how the model's paper trains."""
MOST_SEEDS = 2**63
"""Seeds that torch and NumPy both take."""
LITERAL = "model.literal"
"""The setting that takes a paper at its word."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What `fit` trains."""

    model: str
    """A key of `oddframe.models.MODELS`."""
    settings: Sequence[str] = ()
    """`group.key=value` overrides, groups model, train, score."""
    seed: int = 0
    """Of the weights and of the order of the footage."""
    ablation: str | None = None
    """A row of the model's ablations (`models.ablation_name`), kept in the card."""
    recipe: str = "size"
    """size, the size's own settings, or paper (`models.recipe`)."""

    @property
    def row(self) -> str | None:
        """The full name of the row of the ablations."""
        return None if self.ablation is None else ablation_name(self.model, self.ablation)

    def configs(self) -> Configs:
        """The settings; errors as `configs`, and for a seed that is none."""
        if not 0 <= self.seed < MOST_SEEDS:
            raise ConfigError(f"--seed must be 0 to {MOST_SEEDS - 1}, found {self.seed}.")
        return configs(self.model, self.settings, ablation=self.row, how=self.recipe)


@dataclass(frozen=True, slots=True)
class Configs:
    """The three groups of `--set`."""

    model: Config
    train: TrainConfig
    score: ScoreConfig

    def plain(self) -> dict[str, Any]:
        """Plain values for model.json, without what changes no number (`SAME_NUMBERS`)."""
        train = self.train.model_dump(mode="json", exclude=SAME_NUMBERS)
        groups = {"model": self.model, "score": self.score}
        dumped = {name: group.model_dump(mode="json") for name, group in groups.items()}
        return {"model": dumped["model"], "train": train, "score": dumped["score"]}


def configs(
    model: str, settings: Sequence[str] = (), *, ablation: str | None = None, how: str = "size"
) -> Configs:
    """A model size, then the recipe, a row of its ablations, `a.b=c` settings: the last one holds.

    But `model.literal`, wherever it stands among the settings, comes before the row, which would
    else be undone: a row is literal in all that it does not change.

    settings: of the groups model, train, score. ablation: a row (`models.ablation_name`).
    how: one of `RECIPES`.

    Raises:
        ConfigError: unknown model, recipe, row or key, value out of range, or one that
            `model.literal` sets otherwise.
    """
    if how not in RECIPES:
        raise ConfigError(f"Unknown recipe {how!r}; expected {' or '.join(RECIPES)}.")
    changes = recipe(model) if how == "paper" else {"model": {}, "train": {}, "score": {}}
    base = default_config(model)
    base = type(base).read({**base.model_dump(), **changes["model"]})
    train = TrainConfig.read({**entry(model).train, **changes["train"]})
    score = ScoreConfig.read(changes["score"])
    whole: Any = create_model(
        "Settings", __base__=Config,
        model=(type(base), base), train=(TrainConfig, train), score=(ScoreConfig, score),
    )  # fmt: skip
    out: Any = whole()
    if ablation is not None:
        first = [s for s in settings if s.partition("=")[0].strip() == LITERAL]
        settings = [s for s in settings if s not in first]
        printed = out.override(first)
        printed.refuse_forced(parsed(settings))  # the row itself may not say `literal` any more
        out = out.model_copy(update={"model": ablated(model, ablation, printed.model)})
    out = out.override(settings)
    return Configs(out.model, out.train, out.score)


def outlined(name: str, chosen: Configs) -> VADModel:
    """The model without weights, on the meta device, if the other settings suit it.

    Raises:
        ConfigError: it has not all of `score.streams`, or nothing that could run again.
    """
    with torch.device("meta"):
        net = build(name, chosen.model).eval()
    if chosen.score.streams:  # not always: a model of others may need numbers to run on
        _check_streams(name, net, chosen.score)
    if chosen.train.checkpoint_gradients and not blocks_of(net):
        raise ConfigError(
            f"train.checkpoint_gradients: {name} has no blocks that could run again "
            "(`models.recompute.Block`). Leave it out, or make the batch smaller."
        )
    return net


def _check_streams(name: str, net: VADModel, score: ScoreConfig) -> None:
    with torch.device("meta"), torch.no_grad():
        seen = net(torch.empty(1, net.history, 3 + net.carried, net.size, net.size))
    own = OWN if seen.motion is not None else tuple(s for s in OWN if s != "motion")
    there = (*own, *NO_NETWORK) if score.flow else own
    lacking = [s for s in score.streams if s not in there]
    if lacking:
        raise ConfigError(
            f"score.streams asks for {', '.join(lacking)}; with these settings {name} has "
            f"{', '.join(there)}. Choose among these."
        )
