"""The table of models. A name, where it lives, its published figures; imported when asked for."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from oddframe.config import Config
from oddframe.errors import ConfigError

if TYPE_CHECKING:
    from oddframe.models.base import VADModel


@dataclass(frozen=True, slots=True)
class Published:
    """What the paper says of a model: millions of parameters, giga multiply-adds, frames/s."""

    parameters_m: float | None = None
    gmac: float | None = None
    fps: float | None = None
    source: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One model by name."""

    module: str
    """Holds the classes and, in `SIZES`, what this size changes from the defaults."""
    model: str
    config: str
    published: Published = field(default_factory=Published)
    train: Mapping[str, Any] = field(default_factory=dict)
    """What this size changes from `TrainConfig`'s defaults (the paper's)."""


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
    "m2s2l": Entry(*_M2S2L, Published(14.9, 20.1, 45, _TABLE)),
    "m2s2l-small": Entry(*_M2S2L, train=_QUICK),
    "m2s2l-edge": Entry(*_M2S2L, train=_QUICK),
    "stnmamba": Entry(
        *_STNMAMBA, Published(7.2, 1.5, 40, "STNMamba, Table I"), {"batch": 8, "targets": 1}
    ),
    "stnmamba-128": Entry(*_STNMAMBA, train={**_QUICK, "batch": 4, "targets": 1}),
    # Its windows share no work: one target per run is the widest choice of footage.
    "msti-net": Entry(
        *_MSTI, Published(source="MSTI-Net gives none"), train={"batch": 4, "targets": 1}
    ),
    "msti-net-128": Entry(*_MSTI, train=_QUICK | {"detach_context": False, "targets": 2}),
    "vadmamba": Entry(*_VADMAMBA, Published(28.1, None, 90, _TABLE), _WINDOWS),
    "vadmamba-128": Entry(*_VADMAMBA, train=_QUICK_WINDOWS),
    "ffp": Entry(*_FFP, Published(24.2, 148.1, 25, _TABLE), _WINDOWS),
    "ffp-128": Entry(*_FFP, train=_QUICK_WINDOWS),
    "mnad": Entry(*_MNAD, Published(15.6, 46.6, 65, _TABLE), _WINDOWS),
    "mnad-128": Entry(*_MNAD, train=_QUICK_WINDOWS),
    "ammc": Entry(*_AMMC, Published(25.0, 169.5, 18, _TABLE), _WINDOWS),
    "ammc-128": Entry(*_AMMC, train=_QUICK_WINDOWS),
    "conv-ae": Entry(*_CONV_AE, train=_WINDOWS),
    "conv-ae-128": Entry(*_CONV_AE, train=_QUICK_WINDOWS),
    "convlstm-ae": Entry(*_CONVLSTM_AE, Published(fps=10, source=_TABLE), _WINDOWS),
    "convlstm-ae-128": Entry(*_CONVLSTM_AE, train=_QUICK_WINDOWS),
    "memae": Entry(*_MEMAE, Published(6.5, 33.0, 38, _TABLE), {**_WINDOWS, "lr": 1e-4}),
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
