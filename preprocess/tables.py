"""CSV files with a header row, as users hand them in and as the job writes them."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Sequence

from jpegkeras.errors import InputError
from jpegkeras.files import write_text
from preprocess.filesystems import filesystem_of


def read_table(
    path: str | os.PathLike, columns: Sequence[str], optional: Sequence[str] = ()
) -> list[tuple[int, dict[str, str]]]:
    """Returns (line number, column → cell) of each row, for the columns named alone.

    Cells are as they stand, blanks included: a file name may begin with one. Bytes that are not
    UTF-8 become surrogates, as in file names. Raises InputError for a file that is missing, empty
    or no CSV, for a column of `columns` that the header lacks, and for an empty cell.
    """
    path = os.fspath(path)
    expected = f"Expected a header row with the columns {','.join(columns)}"
    try:
        data = filesystem_of(path).read(path)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise InputError(f"{path}: no such file. {expected} in it.") from error
    text = data.decode("utf-8-sig", "surrogateescape")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        places = {cell.strip(): place for place, cell in enumerate(next(reader, []))}
        missing = [column for column in columns if column not in places]
        if missing:
            found = ",".join(places) or "an empty file"
            raise InputError(
                f"{path}: the column {missing[0]} is missing. {expected}; got {found}."
            )
        wanted = [(column, places[column]) for column in (*columns, *optional) if column in places]
        rows = [(reader.line_num, _cells(row, wanted)) for row in reader if any(row)]
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: not valid CSV ({error}).") from error
    for line, row in rows:
        empty = [column for column, cell in row.items() if not cell or cell.isspace()]
        if empty:
            raise InputError(f"{path}, line {line}: the {empty[0]} is empty; every row needs one.")
    if not rows:
        raise InputError(f"{path}: there is no row below the header.")
    return rows


def write_table(
    path: str | os.PathLike, header: Sequence[str], rows: Iterable[Sequence[object]]
) -> None:
    """Writes a CSV, whole or not at all."""
    write_text(path, format_table(header, rows))


def format_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Returns the text of a CSV."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue()


def _cells(row: Sequence[str], columns: Iterable[tuple[str, int]]) -> dict[str, str]:
    """Returns column → cell; what a short row lacks is empty."""
    return {column: row[place] if place < len(row) else "" for column, place in columns}
