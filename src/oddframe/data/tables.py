"""CSV files as spreadsheets write them: any of their encodings, separators and decimal signs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from oddframe.errors import DatasetError

MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
SEPARATORS = ",;\t"


class Table:
    """A CSV file with a header: `names` in lower case, `rows()` as {name: text}.

    Excel writes UTF-8 with a mark, UTF-16 with tabs ("Unicode text"), or the code page of the
    country; where a comma is the decimal sign, semicolons lie between the cells.
    """

    def __init__(self, path: Path) -> None:
        """Read it whole.

        Raises:
            OSError: that is not possible.
            DatasetError: here or from `rows`, with the line: no CSV.
        """
        self._path = path
        text = decoded(path.read_bytes())
        lines = text.splitlines()
        self.head = lines[0] if lines else ""
        if self.head.lower().startswith("sep="):  # Excel's own way to name the separator
            text = text.partition("\n")[2]
            self.head = lines[1] if len(lines) > 1 else ""
        self.separator = max(SEPARATORS, key=self.head.count) if self.head else ","
        self._reader = csv.reader(io.StringIO(text, newline=""), delimiter=self.separator)
        self.names = [name.strip().lower() for name in next(self._lines(), [])]

    def rows(self) -> Iterator[tuple[int, dict[str, str]]]:
        """Line numbers and cells; cells that are missing are empty."""
        for cells in self._lines():
            padded = [*cells, *[""] * (len(self.names) - len(cells))]
            named = zip(self.names, padded, strict=False)
            yield self._reader.line_num, {name: cell.strip() for name, cell in named}

    def _lines(self) -> Iterator[list[str]]:
        try:
            yield from self._reader
        except csv.Error as error:
            raise DatasetError(
                f"{self._path}, line {self._reader.line_num}: {error}. Is there a stray quotation "
                "mark in this line or one before it?"
            ) from None

    def number(self, text: str) -> float:
        """A cell as a number; ValueError where it is none."""
        return float(text if self.separator == "," else text.replace(",", "."))


def decoded(data: bytes) -> str:
    """The text of a file by its mark, as UTF-8, or in the code page of Western Europe."""
    for mark, encoding in MARKS:
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")
