"""What the columns of a table are, judged by their cells; and the cells as values of that kind."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from modelyard.errors import BadData
from modelyard.families.tabular.config import TabularFeatures
from modelyard.families.tabular.schema import Column, Edits
from modelyard.families.tabular.written import as_text, number_style, plainly, unit_of, without_unit
from modelyard.kit.tables import PLACEHOLDERS, Table

if TYPE_CHECKING:
    import pandas as pd

MOSTLY = 0.9
"""From this share of numeric (or date) cells on, the others are errors to fix, not another kind
of cell."""
SOME_TEXTS = 20
"""A column with no more different values than this is never free text."""

_ID_NAME = re.compile(
    r"(^|[_\-. ])(id|uuid|guid|key|index|rownum|row)$|[a-z](Id|ID)$", re.IGNORECASE
)
_DATE = re.compile(r"\d{4}-\d{1,2}-\d{1,2}|\d{4}/\d{1,2}/\d{1,2}|\d{1,2}[./-]\d{1,2}[./-]\d{4}")
_WITH_UNIT = re.compile(r"[$€£]?\s*[-+]?\d[\d.,' ]*\s*(%|[$€£]|[a-zA-Zµ°]{1,3})?")
_DAYS = ("%Y-%m-%d", "%Y/%m/%d", "%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%m-%d-%Y", "%d-%m-%Y")
_CLOCKS = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f")


def infer_column(
    name: str,
    cells: pd.Series[Any],
    settings: TabularFeatures,
    forced: str | None,
    delimiter: str = ",",
) -> Column:
    """The column's role, whether it may be empty, and how its cells are written. `forced` is a role
    given by a person.

    A role of `drop` carries its reason as the description.
    """
    unit, style, plain = as_written(cells, delimiter)
    there = plain.dropna()
    nullable = len(there) < len(cells)
    role, boolean, reason = (
        _judge(name, there, nullable, settings) if forced is None else (forced, False, "")
    )
    boolean = boolean or (role == "numeric" and _is_boolean(there))
    transform = {"numeric": "identity" if boolean else settings.numeric}.get(role)
    return Column.model_validate(
        {
            "name": name,
            "role": role,
            "transform": transform,
            "boolean": boolean,
            "nullable": nullable,
            "unit": unit if role == "numeric" else "",
            "format": {"numeric": style, "time": _to_times(there)[1] if role == "time" else ""}.get(
                role, ""
            ),
            "description": reason,
        }
    )


def as_written(cells: pd.Series[Any], delimiter: str) -> tuple[str, str, pd.Series[Any]]:
    """Unit and style of a column of numbers, "" each where there is none; and the cells without
    either."""
    unit = unit_of(cells)
    bare = without_unit(cells, unit)
    style = number_style(bare, delimiter)
    plain = plainly(bare, style)
    if unit and _numeric_share(plain.dropna()) < MOSTLY:
        return "", number_style(cells, delimiter), cells
    return unit, style, plain


def convert(column: Column, cells: pd.Series[Any], table: Table, edits: Edits) -> pd.Series[Any]:
    """The cells as values of the column's role: Float64-like numbers, booleans, text or UTC times.

    Raises:
        BadData: a cell that is not of the role, infinite, or empty where none may be; with its row.
    """
    if column.role == "numeric":
        values = (
            as_booleans(column, cells, table) if column.boolean else numbers(column, cells, table)
        )
    elif column.role == "time":
        values = times(column, cells, table)
    else:
        values = as_text(cells)
    missing = np.flatnonzero(values.isna().to_numpy())
    if len(missing) and edits.columns.get(column.name, {}).get("nullable") is False:
        raise BadData(
            "the cell is empty, but the schema says nullable: false",
            **table.place(int(missing[0])),
            column=column.name,
            hint='Fill it, or set "nullable": true',
        )
    return values


def numbers(column: Column, cells: pd.Series[Any], table: Table, hint: str = "") -> pd.Series[Any]:
    """The cells as float64, or Int64 where all are whole; every cell that is not a number is
    refused."""
    import pandas as pd

    bare = without_unit(cells, column.unit)
    values = _to_numeric(plainly(bare, column.format))
    bad = np.flatnonzero((values.isna() & cells.notna() & ~_placeholder(cells)).to_numpy())
    if len(bad):
        raise BadData(
            f"{str(cells.iloc[bad[0]])[:40]!r} is not a number, as most of the column is"
            + (f" ({len(bad)} such cells)" if len(bad) > 1 else ""),
            **table.place(int(bad[0])),
            column=column.name,
            hint=hint or _mend(column.name, "category"),
        )
    infinite = np.flatnonzero(np.isinf(values.to_numpy(np.float64, na_value=np.nan)))
    if len(infinite):
        raise BadData(
            "the cell is infinite",
            **table.place(int(infinite[0])),
            column=column.name,
            hint="Leave it empty or write a number",
        )
    there = values.dropna()
    if column.format:
        table.notes.append(f"{column.name}: numbers were read as written {column.format}")
    if column.unit and cells.dtype == object:
        others = int((values.notna() & (bare == cells)).sum())
        without = f"; {others} cells have none, and were taken for the same" if others else ""
        table.notes.append(
            f"{column.name}: numbers were read without their unit {column.unit!r}{without}"
        )
    if empty := int((cells.notna() & values.isna()).sum()):
        table.notes.append(
            f"{column.name}: {empty} cells such as '?' or 'unknown' were read as empty"
        )
    if cells.dtype.kind in "fiu" or cells.dtype == "Int64" or not len(there):
        return values
    whole = bool(((there % 1 == 0) & (there.abs() < 2**53)).all())
    return pd.Series(values.astype("Int64")) if whole else values


def as_booleans(column: Column, cells: pd.Series[Any], table: Table) -> pd.Series[Any]:
    """True, false or missing, from booleans or from the words; any other word is refused."""
    if cells.dtype == "boolean":
        return cells
    values = as_text(cells).str.lower().map({"true": True, "false": False}).astype("boolean")
    bad = np.flatnonzero((values.isna() & cells.notna()).to_numpy())
    if len(bad):
        problem = f"{str(cells.iloc[bad[0]])[:40]!r} is neither true nor false"
        raise BadData(problem, **table.place(int(bad[0])), column=column.name)
    return values


def times(column: Column, cells: pd.Series[Any], table: Table) -> pd.Series[Any]:
    """The cells as datetime64 without a zone, in UTC; one format for the whole column, its own
    where it has one."""
    values, style = _to_times(cells, _styles(column))
    bad = np.flatnonzero((values.isna() & cells.notna()).to_numpy())
    if len(bad):
        raise BadData(
            f"{str(cells.iloc[bad[0]])[:40]!r} is not a date or time"
            + ("" if style == "ISO 8601" else f" of the form {style}")
            + " between the years 1678 and 2261",
            **table.place(int(bad[0])),
            column=column.name,
            hint=_mend(column.name, "category"),
        )
    if (
        style.startswith("%m/%d/%Y")
        and not _to_times(cells, [style.replace("%m/%d", "%d/%m")])[0].isna().any()
    ):
        table.notes.append(
            f"{column.name}: dates such as {cells.dropna().iloc[0]!r} were read as month/day/year; "
            "write them as year-month-day if that is wrong"
        )
    return values


def _styles(column: Column) -> list[str]:
    """The formats to try: none stands for all."""
    return [column.format.replace("ISO 8601", "ISO8601"), "ISO8601"] if column.format else []


def is_numeric(cells: pd.Series[Any]) -> bool:
    """Whether the column holds numbers: mostly, so that the few other cells are errors."""
    there = cells.dropna()
    return _numeric_share(there) >= MOSTLY and not _is_boolean(there)


def _judge(
    name: str, there: pd.Series[Any], nullable: bool, settings: TabularFeatures
) -> tuple[str, bool, str]:
    """Role, whether it is boolean, and the reason where it is dropped."""
    distinct = int(there.nunique())
    if distinct == 0:
        return "drop", False, "all cells are empty"
    if distinct == 1 and not nullable:
        return "drop", False, "constant"
    if _is_boolean(there):
        return "numeric", True, ""
    if there.dtype.kind == "M":
        return "time", False, ""
    if _numeric_share(there) >= MOSTLY and not _is_code(there):
        reason = _row_number(name, there, distinct)
        return ("drop", False, reason) if reason else ("numeric", False, "")
    if _time_share(there) >= MOSTLY:
        return "time", False, ""
    if distinct > SOME_TEXTS and there.dtype == object and _looks_dated(as_text(there)):
        return "drop", False, "dates in several formats: write them in one"
    return _judge_text(there, distinct, settings)


def _judge_text(
    there: pd.Series[Any], distinct: int, settings: TabularFeatures
) -> tuple[str, bool, str]:
    text = as_text(there)
    some = text.iloc[:1000]
    spaces = float(some.str.count(r"\s+").mean()) + 1
    varied = distinct > max(SOME_TEXTS, 0.5 * len(there))
    with_unit = some.map(lambda cell: bool(_WITH_UNIT.fullmatch(cell))).mean() >= MOSTLY
    if varied and with_unit and not _is_code(there):
        return (
            "drop",
            False,
            "numbers with several units, or written in several ways: write plain numbers",
        )
    if (spaces >= 2 and distinct > max(settings.max_categories, SOME_TEXTS)) or (
        spaces >= 3 and varied
    ):
        return "text", False, ""
    if distinct > 0.9 * len(there) and distinct > SOME_TEXTS:
        return "drop", False, "nearly every value is different (id-like)"
    return "category", False, ""


def _is_code(there: pd.Series[Any]) -> bool:
    """Whether whole numbers are written with leading zeros, as postcodes and article numbers
    are."""
    if there.dtype != object:
        return False
    text = as_text(there)
    return bool(text.str.match(r"0\d+$").any() and text.str.fullmatch(r"\d+").all())


def _row_number(name: str, there: pd.Series[Any], distinct: int) -> str:
    """Why a numeric column is no more than a row's number or key; empty when it is a quantity."""
    values = _to_numeric(there).to_numpy(np.float64)
    if distinct < len(there) or len(there) <= SOME_TEXTS or (values % 1 != 0).any():
        return ""
    if values[0] in (0, 1) and (np.diff(values) == 1).all():
        return "counts the rows (id-like)"
    return (
        "every value is different, and it is named as a key (id-like)"
        if _ID_NAME.search(name)
        else ""
    )


def _is_boolean(there: pd.Series[Any]) -> bool:
    if there.dtype == "boolean" or there.dtype.kind == "b":
        return True
    if there.dtype != object or not len(there):
        return False
    return {str(cell).lower() for cell in there.unique()[:5]} <= {"true", "false"}


def _numeric_share(there: pd.Series[Any]) -> float:
    """Share of numbers among the cells; placeholders for an empty cell don't count."""
    if there.dtype != object:
        return 1.0 if there.dtype.kind in "fiu" or there.dtype == "Int64" else 0.0
    count = int(_to_numeric(there).notna().sum())
    if not count:
        return 0.0
    empty = int(_placeholder(there).sum())
    return count / (len(there) - empty) if count >= empty else 0.0


def _time_share(there: pd.Series[Any]) -> float:
    if there.dtype != object or not _looks_dated(as_text(there).iloc[:50]):
        return 0.0
    return float(_to_times(there)[0].notna().mean())


def _looks_dated(cells: Iterable[str]) -> bool:
    found = [bool(_DATE.match(cell)) for cell in cells]
    return sum(found) >= MOSTLY * len(found)


def _placeholder(cells: pd.Series[Any]) -> pd.Series[Any]:
    if cells.dtype != object:
        return cells.isna() & False
    return as_text(cells).str.lower().isin(PLACEHOLDERS)


def _to_numeric(cells: pd.Series[Any]) -> pd.Series[Any]:
    """Numbers or missing; a decimal comma is read where no number of the column has a point."""
    import pandas as pd

    if cells.dtype != object:
        return cells if cells.dtype.kind in "fiu" or cells.dtype == "Int64" else cells * np.nan
    values = pd.to_numeric(cells, errors="coerce").astype(np.float64)
    failed = values.isna() & cells.notna()
    if not failed.any() or as_text(cells)[values.notna()].str.contains(".", regex=False).any():
        return values
    others = as_text(cells)[failed]
    commas = others[others.str.fullmatch(r"[-+]?\d+,\d+")]
    values.loc[commas.index] = pd.to_numeric(commas.str.replace(",", "."))
    return values


def _to_times(cells: pd.Series[Any], styles: Iterable[str] = ()) -> tuple[pd.Series[Any], str]:
    """Times or missing, in the format that reads the most cells; that format."""
    import pandas as pd

    if cells.dtype.kind == "M":
        zone = getattr(cells.dtype, "tz", None)
        return (cells.dt.tz_convert("UTC").dt.tz_localize(None) if zone else cells), "ISO 8601"
    text = as_text(cells)
    some = text.dropna().iloc[:200]
    tried = tuple(styles) or ("ISO8601", *(day + clock for day in _DAYS for clock in _CLOCKS))
    found = {
        style: int(pd.to_datetime(some, format=style, utc=True, errors="coerce").notna().sum())
        for style in tried
    }
    most = max(found.values(), default=0)
    best, values = "", pd.Series(pd.NaT, index=cells.index)
    for style in (style for style, count in found.items() if count == most and (count or not best)):
        parsed = pd.to_datetime(text, format=style, utc=True, errors="coerce").dt.tz_localize(None)
        if not best or parsed.notna().sum() > values.notna().sum():
            best, values = style, parsed
    return values, "ISO 8601" if best == "ISO8601" else best


def _mend(name: str, role: str) -> str:
    return (
        f"Fix or empty the cell, or leave the column out (--set features.drop=[{name}]), or give it a role: "
        f'{{"columns": [{{"name": "{name}", "role": "{role}"}}]}} in schema.json beside the data'
    )
