"""The flagged samples as one CSV file that a spreadsheet opens, and takes for text alone.

UTF-8 with a byte-order mark, without which Excel guesses another encoding; pandas, DuckDB and
polars pass over it.
"""

import csv
import io

import pyarrow as pa

from pipelines.io.files import atomic_write

NAME = "samples.csv"
FORMULAS = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
"""What a spreadsheet takes for the start of a formula, also after blanks."""
LETTER_BREAKS = ("\t", "\r", "\n")


def write_csv(url: str, samples: pa.Table) -> None:
    """Write the table; text that might run as a formula comes after an apostrophe.

    See OWASP, CSV Injection. Numbers stay numbers, empty cells are unknown.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(samples.column_names)
    for row in zip(*(column.to_pylist() for column in samples.columns), strict=True):
        writer.writerow([safe(cell) if isinstance(cell, str) else cell for cell in row])
    atomic_write(url, text.getvalue().encode("utf-8-sig"))


def safe(text: str) -> str:
    """The text as no spreadsheet runs it."""
    starts = text.startswith(LETTER_BREAKS) or text.lstrip().startswith(FORMULAS)
    return f"'{text}" if starts else text
