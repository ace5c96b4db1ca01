"""Rows of results: read arrays, write JSON, print a table."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oddframe.atomic import write_atomic
from oddframe.errors import ProtocolError, RunError

Row = dict[str, Any]
"""One line of a table as it stands in JSON: plain str, int, float, None."""


def load_npz(path: Path) -> dict[str, NDArray[Any]]:
    """Read every array of an npz file; pickled objects are never unpickled.

    Raises ProtocolError: missing, no npz, damaged, empty, or holding something else than arrays.
    """
    hint = "Expected an .npz file with one plain 1-D array per video (numpy.savez)."
    try:
        with path.open("rb") as file:
            if file.read(2) != b"PK":  # an .npy or a pickle would make numpy advise unpickling
                raise ProtocolError(f"{path} is no npz file. {hint}")
        with np.load(path, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
    except ValueError as error:
        detail = "it holds Python objects" if "allow_pickle" in str(error) else str(error)
        raise ProtocolError(f"{path} cannot be read: {detail}. {hint}") from error
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ProtocolError(f"{path} cannot be read: {error}. {hint}") from error
    strange = [key for key, array in arrays.items() if not isinstance(array, np.ndarray)]
    if strange or not arrays:
        found = f"holds {strange[0]!r}, which is no array" if strange else "is empty"
        raise ProtocolError(f"{path} {found}. {hint}")
    return arrays


def write_rows_json(path: Path | str, rows: Sequence[Row]) -> None:
    """Write {"rows": rows} to `path`, whole or not at all; missing folders are made.

    NumPy scalars become plain numbers.
    Raises RunError: cannot be written; a value is NaN or infinite (use None) or no JSON.
    """
    target = Path(path)
    try:
        text = json.dumps({"rows": list(rows)}, indent=1, allow_nan=False, default=_plain) + "\n"
    except (TypeError, ValueError) as error:
        raise RunError(f"{target} is not written, its rows do not fit JSON: {error}.") from error
    write_atomic(target, lambda p: p.write_text(text, "utf8"))


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{value!r} has no JSON form")


_TITLES = ("macro %", "AP %", "EER %", "TPR at 1 %")


def format_table(rows: Sequence[Row]) -> str:
    """Rows as aligned plain text, numbers in %, then each protocol in full.

    AUC, its 95 % interval over videos, macro AUC, AP, EER, TPR at a false-positive rate of 1 %.

    An undefined or missing number is "-"; videos of one class (1-class) are not in the macro AUC.
    Rows of one protocol with different texts (dropped frames, labels) get marks a, b, ... so that
    no number stands without its own.
    """
    counts = ("frames", "abnormal", "videos", "one_class_videos")
    head = ("method", "protocol", "AUC %", "95 %", *_TITLES, *counts[:3], "1-class")
    texts: dict[str, list[str]] = {}
    for row in rows:
        known = texts.setdefault(str(row["protocol"]), [])
        if row["protocol_text"] not in known:
            known.append(row["protocol_text"])

    def label(name: str, text: str) -> str:
        known = texts[name]
        return name if len(known) == 1 else f"{name}/{_mark(known.index(text))}"

    lines: list[tuple[str, ...]] = [head]
    for row in rows:
        lines.append(
            (
                str(row["method"]),
                label(str(row["protocol"]), row["protocol_text"]),
                _percent(row.get("auc")),
                _range(row.get("auc_low"), row.get("auc_high")),
                *(_percent(row.get(key)) for key in ("macro_auc", "ap", "eer", "tpr")),
                *(str(row.get(key, "-")) for key in counts),
            )
        )
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    out = [
        "  ".join(
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    out.insert(1, "-" * max(map(len, out)))
    notes = [f"{label(name, text)}: {text}" for name, known in texts.items() for text in known]
    return "\n".join([*out, "", *notes])


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"


def _range(low: float | None, high: float | None) -> str:
    return "-" if low is None or high is None else f"{100 * low:.1f}-{100 * high:.1f}"


def _mark(place: int) -> str:
    return chr(ord("a") + place) if place < 26 else str(place)
