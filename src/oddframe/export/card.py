"""What a graph says of itself: its RUN, its score, the names of what goes in and comes out.

Of an ONNX file the card is its metadata (`metadata_props`), a text under each name; of a `.pt2`
file the same as JSON, in the extra file `card.json`.

| goes in | comes out |
|---|---|
| `picture` (h, w, 3) uint8 BGR; of a clip `pictures` (k + 1, h, w, 3) | `score` () |
| `flow` (2, s, s) px per frame, where the card says so | `heat` (s, s) |
| `state.…`, all zeros before a stream's first picture | `terms` (n,), in the order of the card |
| | `local` (streams, s, s), local means in the order of the card |
| | `next.…`, the state for the next picture |
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self

from oddframe.errors import RunError
from oddframe.runs import WEIGHTS, Run

Kind = Literal["step", "clip"]
FlowSource = Literal["none", "dis", "file"]
STATE, NEXT = "state.", "next."
"""What the names of a state's tensors begin with, going in and coming out."""
EXTRA = "card.json"
"""The extra file of a `.pt2`."""


@dataclass(frozen=True, slots=True)
class Card:
    """What is written into the file, by these names."""

    oddframe: str
    """Version that wrote it."""
    run: str
    """`fingerprint` of the RUN; empty of a model without one."""
    model: str
    """Key of `oddframe.models.MODELS`."""
    kind: Kind
    size: int
    """s: rows and columns that pictures are resized to, of heat and of local means."""
    history: int
    """k: the first k pictures of a stream give NaN."""
    fps: float | None
    """Pictures per second that the model learned at: give it so many."""
    score: Literal["full", "own"]
    """`full`: the RUN's score; `own`: only of the streams that come out of the model."""
    about: str
    """The score in words."""
    streams: tuple[str, ...]
    """That come out of the model: those of `local`."""
    left_out: tuple[str, ...]
    """Streams of the RUN's score that no graph has: they are OpenCV's."""
    threshold: float | None
    """Score of the alarm, in all light; None before calibration, of `own`, and where the score is
    not smoothed or delayed as the RUN's (`about`)."""
    threshold_of_full: float | None
    """The RUN's threshold, which holds for its full score alone."""
    flow: FlowSource
    """Where `flow` has to come from: `dis` OpenCV's (`oddframe.ops.dis.dis_flow`) at the model's
    size, `file` what the RUN was trained with."""
    scan: str

    def text(self) -> dict[str, str]:
        """As metadata: words as they are, all else as JSON."""
        return {
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in asdict(self).items()
        }

    @classmethod
    def read(cls, found: Mapping[str, str], where: str) -> Self:
        """Undo `text`. where: the file, for people.

        Raises:
            RunError: something is missing, or is not what was written.
        """
        words = {"oddframe", "run", "model", "kind", "score", "about", "flow", "scan"}
        try:
            values: dict[str, Any] = {
                f.name: found[f.name] if f.name in words else json.loads(found[f.name])
                for f in fields(cls)
            }
        except (KeyError, ValueError) as error:
            raise RunError(
                f"{where} is no file that `oddframe export` of this version wrote: {error} is "
                "missing or damaged. Export the RUN again."
            ) from None
        values |= {name: tuple(values[name]) for name in ("streams", "left_out")}
        return cls(**values)


def fingerprint(run: Run) -> str:
    """SHA-256 of what a RUN's scores depend on: weights, configuration, scene; no threshold.

    Raises:
        RunError: the weights cannot be read.
    """
    said = {name: run.card[name] for name in ("model", "scene")}
    said["config"] = {name: run.card["config"][name] for name in ("model", "score")}
    found = hashlib.sha256(json.dumps(said, sort_keys=True).encode())
    try:
        found.update((run.path / WEIGHTS).read_bytes())
    except OSError as error:
        raise RunError(
            f"{run.path / WEIGHTS} cannot be read: {error.strerror or error}. Give this user the "
            "right to read it, or copy the whole folder anew."
        ) from None
    return found.hexdigest()
