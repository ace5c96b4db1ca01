"""oddframe: learns what is normal from unlabelled footage and points at what is not.

    detector = oddframe.load("RUN")
    result = detector.score("clip.mp4")            # result.score (n,), result.heat(i) (h, w)
    for s in detector.stream(oddframe.open_source("rtsp://…")): ...

Names are imported when they are asked for: `import oddframe` loads neither torch nor numpy. `load`
and `fit` tune the process (`process.tune`) before they do: a program that imports torch later
than it calls them, or not at all, computes as fast as the command line.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from oddframe.process import tune

if TYPE_CHECKING:
    from oddframe import metrics, ops
    from oddframe.data import open_dataset
    from oddframe.errors import OddframeError
    from oddframe.ops import selective_scan
    from oddframe.runtime.detector import Detector, load
    from oddframe.runtime.result import Result
    from oddframe.sources import open_source
    from oddframe.train.fit import Budget, Footage, fit
    from oddframe.types import Frame, Score
else:

    def load(*args: Any, **options: Any) -> Any:
        """Load a RUN as a detector: `oddframe.runtime.detector.load`, whose arguments these are."""
        tune()
        return import_module("oddframe.runtime.detector").load(*args, **options)

    def fit(*args: Any, **options: Any) -> Any:
        """Learn from normal video: `oddframe.train.fit.fit`, whose arguments these are."""
        tune()
        return import_module("oddframe.train.fit").fit(*args, **options)


__version__ = "0.1.0"
__all__ = [
    "Budget",
    "Detector",
    "Footage",
    "Frame",
    "OddframeError",
    "Result",
    "Score",
    "__version__",
    "fit",
    "load",
    "metrics",
    "open_dataset",
    "open_source",
    "ops",
    "selective_scan",
]

_WHERE = {
    "Budget": "oddframe.train.budget",
    "Detector": "oddframe.runtime.detector",
    "Footage": "oddframe.train.take",
    "Frame": "oddframe.types",
    "OddframeError": "oddframe.errors",
    "Result": "oddframe.runtime.result",
    "Score": "oddframe.types",
    "open_dataset": "oddframe.data",
    "open_source": "oddframe.sources",
    "selective_scan": "oddframe.ops",
}
"""Public name -> the module that holds it."""
_MODULES = frozenset({
    "calibration", "data", "errors", "evaluation", "judging", "losses", "metrics", "models", "ops",
    "report", "runs", "runtime", "scoring", "sources", "train", "types",
})  # fmt: skip
"""Sub-modules that are there after a plain `import oddframe`."""


def __getattr__(name: str) -> Any:
    """Import a public name or sub-module at its first use."""
    if name in _WHERE:
        value = getattr(import_module(_WHERE[name]), name)
    elif name in _MODULES:
        value = import_module(f"oddframe.{name}")
    else:
        raise AttributeError(f"module 'oddframe' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """What tab completion shows."""
    return sorted({*globals(), *__all__, *_MODULES})
