"""CSV files with a header row, as users hand them in and as the job writes them."""

from __future__ import annotations

import csv
import io
import os
import pathlib
from collections.abc import Iterable, Sequence

from jpegkeras.errors import InputError
from jpegkeras.files import write_text


def read_table(
    path: str | os.PathLike, columns: Sequence[str], optional: Sequence[str] = ()
) -> list[tuple[int, dict[str, str]]]:
    """Returns (line number, column → cell) of each row, for the columns named alone.

    Cells are as they stand, blanks included: a file name may begin with one. Bytes that are not
    UTF-8 become surrogates, as in file names. Raises InputError for a file that is missing, empty
    or no CSV, for a column of `columns` that the header lacks, and for an empty cell.
    """
    path = pathlib.Path(path)
    expected = f"Expected a header row with the columns {','.join(columns)}"
    if not path.is_file():
        raise InputError(f"{path}: no such file. {expected} in it.")
    text = path.read_bytes().decode("utf-8-sig", "surrogateescape")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [cell.strip() for cell in next(reader, [])]
        missing = [column for column in columns if column not in header]
        if missing:
            found = ",".join(header) or "an empty file"
            raise InputError(
                f"{path}: the column {missing[0]} is missing. {expected}; got {found}."
            )
        wanted = [column for column in (*columns, *optional) if column in header]
        rows = [(reader.line_num, dict(zip(header, row))) for row in reader if any(row)]
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: not valid CSV ({error}).") from error
    for line, row in rows:
        empty = [column for column in wanted if not row.get(column, "").strip()]
        if empty:
            raise InputError(f"{path}, line {line}: the {empty[0]} is empty; every row needs one.")
    if not rows:
        raise InputError(f"{path}: there is no row below the header.")
    return [(line, {column: row[column] for column in wanted}) for line, row in rows]


def write_table(
    path: str | os.PathLike, header: Sequence[str], rows: Iterable[Sequence[object]]
) -> None:
    """Writes a CSV, whole or not at all."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_text(path, out.getvalue())
