"""Which device a model runs on, by its name."""

from __future__ import annotations

from contextlib import suppress

import torch

from oddframe.errors import ConfigError


def pick_device(device: str) -> torch.device:
    """The torch device behind a name: cpu, cuda, cuda:N, auto.

    Raises:
        ConfigError: unknown, of a kind that nothing here is made for, or not in this machine.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    found: torch.device | None = None
    with suppress(RuntimeError):
        found = torch.device(device)
    if found is None or found.type not in ("cpu", "cuda") or (found.type == "cpu" and found.index):
        raise ConfigError(f"Unknown device {device!r}; expected cpu, cuda, cuda:N or auto.")
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"Device {device} is not there: torch {torch.__version__} sees "
            f"{torch.cuda.device_count()} CUDA devices. Use --device cpu, or install a CUDA build."
        )
    return found
