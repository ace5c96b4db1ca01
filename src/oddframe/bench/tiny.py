"""Models as `--quick` takes them: every size of the table, made small enough for a test."""

from __future__ import annotations

from typing import Any

from oddframe.config import Config
from oddframe.models import default_config, entry

TINY: dict[str, dict[str, Any]] = {
    "m2s2l": {
        "size": 32, "width": 16, "patches": (8, 16), "depths": (1, 1), "history": 4,
        "windows": (2, 4), "state": 1, "expand": 1, "upscale": 4, "memory_items": 4,
    },
    "stnmamba": {"size": 64, "width": 8, "depth": 1, "memory_items": (4, 4, 4, 4), "state": 2},
    "msti": {"size": 32, "width": 16, "memory_items": 4},
    "vadmamba": {"size": 64, "history": 4, "width": 8, "state": 2, "codes": 8},
    "ffp": {"size": 32, "width": 8},
    "mnad": {"size": 32, "width": 8, "items": 4},
    "ammc": {"size": 32, "width": 8, "items": 4},
    "conv_ae": {"size": 32, "width": 32, "history": 4},
    "convlstm_ae": {"size": 32, "width": 16, "history": 4},
    "memae": {"size": 32, "widths": (8, 12, 16, 16), "history": 8, "items": 20},
}  # fmt: skip
"""What changes of each size's own configuration, by the file of the model."""


def tiny(name: str) -> Config:
    """The small configuration of a key of `MODELS`.

    Raises:
        ConfigError: unknown name.
    """
    base = default_config(name)
    changes = TINY[entry(name).module.rpartition(".")[2]]
    return type(base).read({**base.model_dump(), **changes})
