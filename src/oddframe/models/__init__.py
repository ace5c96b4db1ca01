"""The table of models. A name, where it lives, its published figures; imported when asked for."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from oddframe.config import Config
from oddframe.errors import ConfigError
from oddframe.models.papers import PAPER_TABLES, RECIPES, Published, auc

if TYPE_CHECKING:
    from oddframe.models.base import VADModel


@dataclass(frozen=True, slots=True)
class Entry:
    """One model by name."""

    module: str
    """Holds the classes and, in `SIZES`, what this size changes from the defaults."""
    model: str
    config: str
    published: Published = field(default_factory=Published)
    train: Mapping[str, Any] = field(default_factory=dict)
    """What this size changes from `TrainConfig`'s defaults."""


_M2S2L = ("oddframe.models.m2s2l", "M2S2L", "M2S2LConfig")
_MSTI = ("oddframe.models.msti", "MSTINet", "MSTIConfig")
_STNMAMBA = ("oddframe.models.stnmamba", "STNMamba", "STNMambaConfig")
_VADMAMBA = ("oddframe.models.vadmamba", "VADMamba", "VADMambaConfig")
_QUICK = {
    "lr": 1e-3, "beta2": 0.99, "halve_every": 0, "calm_after": 600, "targets": 4, "batch": 2,
    "detach_context": True,
}  # fmt: skip
_FFP = ("oddframe.models.ffp", "FFP", "FFPConfig")
_MNAD = ("oddframe.models.mnad", "MNAD", "MNADConfig")
_AMMC = ("oddframe.models.ammc", "AMMCNet", "AMMCConfig")
_CONV_AE = ("oddframe.models.conv_ae", "ConvAE", "ConvAEConfig")
_CONVLSTM_AE = ("oddframe.models.convlstm_ae", "ConvLSTMAE", "ConvLSTMAEConfig")
_MEMAE = ("oddframe.models.memae", "MemAE", "MemAEConfig")
# Models of whole windows encode nothing twice: a batch of different windows costs the same.
_WINDOWS = {"targets": 1, "batch": 4}
_QUICK_WINDOWS = {**_WINDOWS, "lr": 1e-3, "halve_every": 0, "calm_after": 600}
_TABLE = "M2S2L, Table I"
MODELS: dict[str, Entry] = {
    "m2s2l": Entry(*_M2S2L, Published(14.9, 20.1, 45, _TABLE, auc(98.5, 92.1, 77.9))),
    "m2s2l-small": Entry(*_M2S2L, train=_QUICK),
    "m2s2l-edge": Entry(*_M2S2L, train=_QUICK),
    "stnmamba": Entry(
        *_STNMAMBA,
        Published(7.2, 1.5, 40, "STNMamba, Table I", auc(98.0, 89.0, 74.9)),
        {"batch": 8, "targets": 1},
    ),
    "stnmamba-128": Entry(*_STNMAMBA, train={**_QUICK, "batch": 4, "targets": 1}),
    # Its windows share no work: one target per run is the widest choice of footage.
    "msti-net": Entry(
        *_MSTI,
        Published(source="MSTI-Net gives none", auc=auc(96.8, 87.6, 73.9)),
        {"batch": 4, "targets": 1},
    ),
    "msti-net-128": Entry(*_MSTI, train=_QUICK | {"detach_context": False, "targets": 2}),
    "vadmamba": Entry(
        *_VADMAMBA, Published(28.1, None, 90, _TABLE, auc(98.5, 91.5, 77.0)), _WINDOWS
    ),
    "vadmamba-128": Entry(*_VADMAMBA, train=_QUICK_WINDOWS),
    "ffp": Entry(*_FFP, Published(24.2, 148.1, 25, _TABLE, auc(95.4, 84.9, 72.8)), _WINDOWS),
    "ffp-128": Entry(*_FFP, train=_QUICK_WINDOWS),
    "mnad": Entry(*_MNAD, Published(15.6, 46.6, 65, _TABLE, auc(97.0, 88.5, 70.5)), _WINDOWS),
    "mnad-128": Entry(*_MNAD, train=_QUICK_WINDOWS),
    "ammc": Entry(*_AMMC, Published(25.0, 169.5, 18, _TABLE, auc(96.6, 86.6, 73.7)), _WINDOWS),
    "ammc-128": Entry(*_AMMC, train=_QUICK_WINDOWS),
    "conv-ae": Entry(*_CONV_AE, Published(source=_TABLE, auc=auc(90.0, 70.2, 60.9)), _WINDOWS),
    "conv-ae-128": Entry(*_CONV_AE, train=_QUICK_WINDOWS),
    "convlstm-ae": Entry(
        *_CONVLSTM_AE, Published(fps=10, source=_TABLE, auc=auc(88.1, 77.0)), _WINDOWS
    ),
    "convlstm-ae-128": Entry(*_CONVLSTM_AE, train=_QUICK_WINDOWS),
    "memae": Entry(
        *_MEMAE,
        Published(6.5, 33.0, 38, _TABLE, auc(94.1, 83.3, 71.2)),
        {**_WINDOWS, "lr": 1e-4},
    ),
    "memae-128": Entry(*_MEMAE, train=_QUICK_WINDOWS),
}
"""Every model that `--model` takes."""


def entry(name: str) -> Entry:
    """Look a model up.

    Raises:
        ConfigError: unknown name (names the nearest one).
    """
    if name not in MODELS:
        near = difflib.get_close_matches(name, MODELS, 1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise ConfigError(f"Unknown model {name!r}.{hint} There are {', '.join(MODELS)}.")
    return MODELS[name]


def default_config(name: str) -> Config:
    """The configuration of a size, e.g. `default_config("m2s2l-edge")`."""
    e = entry(name)
    module = import_module(e.module)
    config: Config = getattr(module, e.config).read(module.SIZES[name])
    return config


def score_settings(name: str) -> tuple[str, ...]:
    """Settings of the score of a model's paper, `model.…` or `score.…`: training needs none."""
    found: tuple[str, ...] = getattr(import_module(entry(name).module), "SCORE_SETTINGS", ())
    return found


def build(name: str, config: Config | None = None) -> VADModel:
    """Make an untrained model; weights follow torch's random state."""
    e = entry(name)
    model: VADModel = getattr(import_module(e.module), e.model)(config or default_config(name))
    return model


def carried(name: str, config: Config | None = None) -> int:
    """Channels that a model's frames bring beside RGB (`VADModel.carried`); makes no weights."""
    import torch

    with torch.device("meta"):
        return build(name, config).carried


# ---- rows of ablations, and how a paper trains


def ablations(name: str) -> tuple[str, ...]:
    """Rows that `--ablation` takes for a model, by its paper's names; () where it has no table.

    Raises:
        ConfigError: unknown model.
    """
    return tuple(getattr(import_module(entry(name).module), "ABLATIONS", ()))


def ablation_name(name: str, row: str) -> str:
    """The one name of a row of a model's ablations.

    row: in any case, with or without its table, or by its place there: of STNMamba "M1", "m1",
    "II-M1", "II-1" and "Table II, 1" are one row; "lambda=0.8" and "K = 60%" are rows of sweeps.

    Raises:
        ConfigError: unknown model or row, or a model without ablations; lists the rows.
    """
    rows = ablations(name)
    if not rows:
        having = ", ".join(
            m for m in MODELS if hasattr(import_module(entry(m).module), "ABLATIONS")
        )
        raise ConfigError(f"{name} has no ablations: its paper's table is not here. {having} have.")
    known = {_plain(r): r for r in rows}
    for table in PAPER_TABLES[entry(name).module]:
        for place, r in enumerate(table.rows, 1) if table.number else ():
            known[_plain(table.number + r)] = known[_plain(f"{table.number}-{place}")] = r
    found = known.get(_plain(row))
    if found is None:
        listed = "; ".join(
            f"{f'Table {t.number}, ' if t.number else ''}{t.about}: {', '.join(t.rows)}"
            for t in PAPER_TABLES[entry(name).module]
        )
        raise ConfigError(f"{name} has no ablation {row!r}. There are: {listed}.")
    return found


def _plain(row: str) -> str:
    """A row's name without case, spaces, signs and the word "table"; λ is lambda."""
    lower = row.lower().replace("λ", "lambda").replace("table", "")
    return "".join(c for c in lower if c.isalnum() or c == ".")


def ablated(name: str, row: str, config: Config | None = None) -> Config:
    """The configuration of one row of a model's ablations.

    row: as `ablation_name` takes it. config: what the row changes; the size's own by default.

    Raises:
        ConfigError: as `ablation_name`.
    """
    row = ablation_name(name, row)
    module = import_module(entry(name).module)
    out: Config = module.ablation(row, config or default_config(name))
    return out


_OF_ALL = {
    "average": 0.0, "hold_out": 0.0, "calm_after": 0, "beta2": 0.999, "detach_context": False,
}  # fmt: skip
"""What no paper does: average weights, keep training video aside, calm the rate, cut gradients.

The norm of the gradient stays limited (`clip_gradient`): none prints that, and Mamba needs it."""


def recipe(name: str) -> dict[str, dict[str, Any]]:
    """How a model's paper trains, for any size: what changes in the groups model, train, score.

    `papers.RECIPES` says where a value is printed, or that it is not.

    Raises:
        ConfigError: unknown model, or one whose file has no recipe.
    """
    file = entry(name).module.rpartition(".")[2]
    if file not in RECIPES:
        raise ConfigError(
            f"{name} has no recipe of its paper: expected {file!r} in oddframe.models.papers."
            f"RECIPES, found {', '.join(RECIPES)}. Train it with --recipe size, or add a row there."
        )
    own = RECIPES[file]
    groups = {group: dict(own.get(group, {})) for group in ("model", "train", "score")}
    return {**groups, "train": {**_OF_ALL, **groups["train"]}}
