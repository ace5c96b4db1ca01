"""The scores of a segment as a Parquet file, and what is said about them in its footer.

Columns: `file`, `frame`, `time_s`, `score`, `level`, `alarm`, `box_x`, `box_y`, `box_w`, `box_h`
(the hottest place, in pixels of the source), then the raw terms by the names that they have in the
CSV of `oddframe score`. What is unknown is null. Numbers are whole float64: nothing is rounded.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from oddframe.archive.score import Rows
from oddframe.atomic import write_atomic
from oddframe.errors import ConfigError
from oddframe.runtime.result import column_of

if TYPE_CHECKING:
    import pyarrow as pa

FACTS = b"oddframe"
"""Key of the footer's JSON."""
BOX = ("box_x", "box_y", "box_w", "box_h")


def arrow() -> Any:
    """pyarrow.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise ConfigError(
            "Archives are kept as Parquet, which needs pyarrow: pip install 'oddframe[archive]'."
        ) from None
    return pyarrow


def table_of(rows: Rows, file: str) -> pa.Table:
    """Rows as a table of Arrow; file: what stands in the column of that name."""
    pa = arrow()
    found, n = rows.result, len(rows.result)

    def real(values: Any) -> Any:
        return pa.array(np.asarray(values, np.float64), mask=np.isnan(values))

    file = file.encode("utf-8", "replace").decode()  # names of files may be any bytes
    nowhere = rows.box[:, 2] == 0
    columns = {
        "file": pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, np.int32)), [file]),
        "frame": pa.array(rows.start + np.arange(n)),
        "time_s": pa.array(found.time_s),
        "score": real(found.score),
        "level": real(found.level),
        "alarm": pa.array(found.alarm),
        **{name: pa.array(rows.box[:, i], mask=nowhere) for i, name in enumerate(BOX)},
        **{column_of(name, ("file", *BOX)): real(values) for name, values in found.terms.items()},
    }
    return pa.table(columns)


def write(path: Path, rows: Rows, file: str, facts: Mapping[str, Any]) -> None:
    """Write a segment, whole or not at all, safe from a loss of power once it is there.

    Raises:
        RunError: the disk is full or the folder cannot be written.
    """
    pa = arrow()
    table = table_of(rows, file)
    table = table.replace_schema_metadata({FACTS: json.dumps(facts, allow_nan=False).encode()})
    buffer = BytesIO()  # pyarrow's own files do not say that the disk is full
    pa.parquet.write_table(table, buffer, compression="zstd")
    write_atomic(path, lambda p: p.write_bytes(buffer.getbuffer()))


def read_facts(path: Path) -> dict[str, Any] | None:
    """What `write` was told; None where the file is not whole, or not ours.

    Raises:
        OSError: it cannot be read.
    """
    pa = arrow()
    try:
        with path.open("rb") as file:  # by name pyarrow maps it, and a cut map is a crash
            found = json.loads(pa.parquet.read_schema(file).metadata[FACTS])
    except (ValueError, KeyError, TypeError):  # ArrowInvalid is a ValueError
        return None
    return found if isinstance(found, dict) else None


def read(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Columns of a segment, by default all.

    Raises:
        OSError, ValueError: absent or damaged.
    """
    pa = arrow()
    with path.open("rb") as file:
        return pa.parquet.read_table(file, columns=None if columns is None else list(columns))
