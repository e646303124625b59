"""Rows of a table, CSV or JSON Lines: values by name, with the line that each stands in."""

from __future__ import annotations

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence

from runner.wire.values import Json

Row = dict[str, Json]

_TOO_LARGE = "a number is too large; write it as a string"
_MOST_DIGITS = 308  # any whole number of as many fits into a double


def rows_of(name: str, table: str) -> Iterator[tuple[int, Row]]:
    """The rows of the file `name`, whose text is `table`. Raises ValueError that says what is wrong in which line."""
    return _json_rows(name, table) if is_json_lines(name) else _csv_rows(name, table)


def is_json_lines(name: str) -> bool:
    return name.lower().endswith((".jsonl", ".ndjson"))


def _csv_rows(name: str, table: str) -> Iterator[tuple[int, Row]]:
    reader = csv.DictReader(io.StringIO(table, newline=""), strict=True)
    try:
        named = Counter(name for name in reader.fieldnames or () if name)
        twice = [column for column, count in named.items() if count > 1]
        if twice:
            raise ValueError(f"{name}:1: there are several columns called {', '.join(map(repr, twice))}")
        for row in reader:
            if None in row or None in row.values():
                raise ValueError(f"{name}:{reader.line_num}: the row has more or fewer cells than the header")
            yield reader.line_num, dict(row)
    except csv.Error as error:
        raise ValueError(f"{name}:{reader.line_num}: {error}") from error


def _json_rows(name: str, table: str) -> Iterator[tuple[int, Row]]:
    # Only a newline ends a line: U+2028 and its like may stand in a JSON string as they are.
    for number, line in enumerate(table.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, parse_constant=_no_number, parse_int=_whole, object_pairs_hook=_each_once)
            _require_carriable(row)
        except _BadRow as error:
            raise ValueError(f"{name}:{number}: {error}") from error
        except ValueError as error:
            raise ValueError(f"{name}:{number}: not JSON: {error}") from error
        except RecursionError:
            raise ValueError(f"{name}:{number}: nested too deeply") from None
        yield number, row


class _BadRow(ValueError):
    """A row that Python reads and that is none."""


def _no_number(constant: str) -> Json:
    raise _BadRow(f"{constant} isn't a number in JSON; write null, or a number")


def _whole(digits: str) -> int:
    if len(digits) > _MOST_DIGITS and math.isinf(float(digits)):
        raise _BadRow(_TOO_LARGE)
    return int(digits)


def _each_once(pairs: Sequence[tuple[str, Json]]) -> Row:
    row = dict(pairs)
    if len(row) < len(pairs):
        twice = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]
        raise _BadRow(f"duplicate key {', '.join(map(repr, twice))}")
    return row


def _require_carriable(row: Json) -> None:
    """A row is an object that can be written as JSON again."""
    if not isinstance(row, dict):
        raise _BadRow("not a JSON object")
    try:
        text = json.dumps(row, ensure_ascii=False, allow_nan=False)
    except ValueError:  # it was written as a number, and no double is as large
        raise _BadRow(_TOO_LARGE) from None
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _BadRow("holds half a character: one of two surrogates alone") from None
