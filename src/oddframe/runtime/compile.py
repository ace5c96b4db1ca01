"""`torch.compile` for a model at work, kept from one process to the next."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import torch

from oddframe.errors import ConfigError
from oddframe.models.base import VADModel

CACHE = "TORCHINDUCTOR_CACHE_DIR"


def compile_parts(model: VADModel, device: torch.device) -> None:
    """Let `torch.compile` rewrite the methods that a model names in `heavy`.

    Not `step` itself: what a stream's state holds grows for its first k frames, and each of its
    lengths would be compiled anew. The work is done at the first frames and kept below
    ~/.cache/oddframe (or where TORCHINDUCTOR_CACHE_DIR points).

    Raises:
        ConfigError: there is no C++ compiler, which torch needs on a CPU.
    """
    compilers = os.environ.get("CXX", "g++ clang++").split()
    if device.type == "cpu" and not any(map(shutil.which, compilers)):
        raise ConfigError(
            "Compiling the model needs a C++ compiler (g++ or clang++, or what CXX names), found "
            "none. Install one, or go without: the scores are the same."
        )
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    os.environ.setdefault(CACHE, str(home / "oddframe" / "compiled"))
    for name in model.heavy:
        setattr(model, name, torch.compile(getattr(model, name)))
