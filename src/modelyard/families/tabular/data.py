"""From a person's table to splits and assets."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelyard.errors import BadData, UsageError
from modelyard.families.tabular import divide, order
from modelyard.families.tabular.cautions import save_categories
from modelyard.families.tabular.cells import as_json, number_or_word
from modelyard.families.tabular.config import TabularConfig
from modelyard.families.tabular.earlier import Earlier
from modelyard.families.tabular.edits import Edits, companions, find_edits, write_back
from modelyard.families.tabular.encode import Encoder, completed
from modelyard.families.tabular.infer import infer_column
from modelyard.families.tabular.overview import summarize, with_ranges
from modelyard.families.tabular.samples import TARGETS, write_sample
from modelyard.families.tabular.schema import Column, TableSchema, near
from modelyard.families.tabular.table import BY_TIME, save_split
from modelyard.families.tabular.target import read_target
from modelyard.families.tabular.values import convert
from modelyard.family import Data, Split
from modelyard.kit.tables import (
    DELIMITERS,
    Table,
    doubt,
    is_parquet,
    is_quickly_read,
    read_table,
    remarks,
    texts,
)
from modelyard.store.base import base_of

if TYPE_CHECKING:
    import pandas as pd


@dataclass
class Prepared:
    """A table whose cells are values: input columns and the target, rows without a target gone."""

    frame: pd.DataFrame
    schema: TableSchema
    y: np.ndarray
    """Class index, int64, or value, float64."""
    clock: order.Clock
    """What the rows are divided by, if by time."""
    dropped: dict[str, int] = field(default_factory=dict)
    """How many rows (and columns) were left out, by reason."""
    notes: list[str] = field(default_factory=list)
    headline: str = ""
    """A clause on the target for the stage's line."""


class TabularData(Data[TabularConfig]):
    """From a person's table to splits and assets."""

    def sample(self, raw: Path) -> None:
        """Writes `data.csv` of `features.sample`."""
        write_sample(raw, self.config.features, self.config.seed)

    def companions(self) -> dict[str, Path]:
        """The edited schema: `features.table_schema`, or the one beside a data file."""
        return companions(self.config.data.uri, self.config.features.table_schema)

    def check(self, data: Path) -> None:
        """Reads the table, and looks for the columns that the settings name."""
        if not is_quickly_read(data):
            return
        table = read_table(data)
        _check_width(table)
        config = self.config
        target = _target_name(
            table, table.names, find_edits(data, config.features.table_schema), config
        )
        _check_columns(table, target, config)

    def write_back(self, features: Path, data: Path) -> list[Path]:
        """The inferred schema, as `<data>.schema.json`."""
        return write_back(features, data)

    def features(self, raw: Path, out: Path) -> dict[str, Any]:
        """Reads the table in `raw`; writes splits, their rows as they came, and the assets to
        `out`.

        Returns the summary for the card.

        Raises:
            BadData: with file, row and column.
            UsageError: the settings are not those of the earlier model.
        """
        config, base = self.config, base_of(out)
        earlier = Earlier.load(base, config) if base is not None else None
        table = read_table(Path(raw))
        _check_width(table)
        prepared = prepare(table, _edits(Path(raw), table, earlier, config), config)
        rows, split_by = order.divide_rows(
            prepared.clock, prepared.y, prepared.schema, table, config
        )
        train = prepared.frame.iloc[rows["train"]]
        if earlier is not None:
            schema, prepared.y = earlier.adopt(prepared.schema, prepared.y)
            encoder = earlier.encoder
        else:
            schema = with_ranges(prepared.schema, train)
            encoder = Encoder.fit(to_columns(train, schema), schema, config.features)
        if not encoder.names:
            raise BadData("the columns hold no words or numbers to predict from", file=table.file)
        assets = Path(out) / "assets"
        assets.mkdir(parents=True, exist_ok=True)
        schema.save(assets)
        encoder.save(assets)
        before = base / "assets" if base is not None else None
        save_categories(assets, schema, to_columns(train, schema), before)
        for split, part in rows.items():
            frame = prepared.frame.iloc[part]
            x = encoder.transform(completed(to_columns(frame, schema), schema))
            save_split(out, split, x, prepared.y[part])
            frame.to_parquet(Path(out) / f"{split}.parquet", index=False)
        if prepared.clock.times is not None:
            (Path(out) / BY_TIME).touch()
        prepared.schema = schema
        notes = [*table.notes, *prepared.notes, *split_by.notes]
        outputs = len(encoder.names)
        summary = summarize(
            prepared.frame, schema, prepared.y, rows, outputs, prepared.dropped, notes
        )
        if earlier is not None and schema.classes is not None and len(schema.classes) == 2:
            reason = "as in the model that it starts from"
            prepared.headline = f"; positive class: {schema.classes[1]} ({reason})"
        summary["headline"] += prepared.headline + split_by.headline + remarks(table.notes)
        return summary

    def requests(
        self, features: Path, split: Split, limit: int | None = None
    ) -> list[dict[str, Any]]:
        """Rows of a split as JSON bodies: None for an empty cell, times in ISO 8601."""
        import pyarrow.parquet

        schema = TableSchema.load(Path(features) / "assets")
        table = pyarrow.parquet.read_table(
            Path(features) / f"{split}.parquet", columns=[column.name for column in schema.inputs]
        )
        bodies: list[dict[str, Any]] = table.slice(0, limit).to_pylist()
        for column in schema.inputs:
            if column.words:
                for body in bodies:
                    body[column.name] = number_or_word(body[column.name], column.words)
        return [{name: as_json(cell) for name, cell in body.items()} for body in bodies]


def _check_width(table: Table) -> None:
    if len(table.names) + len(table.dropped) > 1 or is_parquet(table.file):
        return
    separators = ", ".join(DELIMITERS.values())
    problem = f"only one column was found with any of the separators {separators}"
    raise BadData(problem, file=table.file, hint="Is it a CSV file?")


def _edits(raw: Path, table: Table, earlier: Earlier | None, config: TabularConfig) -> Edits:
    """A person's schema; where the run goes on from an earlier model, that one's."""
    if earlier is None:
        return find_edits(raw, config.features.table_schema)
    return earlier.edits(table.names)


def prepare(table: Table, edits: Edits, config: TabularConfig) -> Prepared:
    """Judges the columns, converts the cells and encodes the target.

    Raises:
        BadData: a column that cannot be used as its role asks, or a target that cannot be
        predicted.
    """
    names = table.names
    target = _target_name(table, names, edits, config)
    _check_columns(table, target, config)
    columns, values = _inputs(table, [name for name in names if name != target], edits, config)
    found = read_target(table, target, edits.of_target(target), config)
    schema, y = found.schema, found.y
    shown = texts(table, target) if schema.classes else y
    if not schema.classes and (question := doubt(table, target)):
        table.note(question)
    notes = [*found.notes, *_unlisted(names, edits, target, table)]
    clock = order.find_clock(table, target, y, schema, columns, config.features)
    keep, dropped = _rows_to_keep(table, target, y, clock)
    import pandas as pd

    frame = pd.DataFrame({**values, target: shown})[keep]
    reasons = {**table.dropped, **{c.name: c.description for c in columns if c.role == "drop"}}
    # A reason is no description, should a person take the column in again.
    columns = [c.model_copy(update={"description": ""}) if c.role == "drop" else c for c in columns]
    schema = schema.model_copy(update={"columns": columns, "dropped": reasons})
    if not schema.inputs:
        why = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
        problem = f"no column is left to predict from ({why or 'the target is the only one'})"
        raise BadData(problem, file=table.file)
    for reason, count in Counter(reasons.values()).items():
        dropped[f"columns: {reason}"] = count
    y = y[keep].astype(np.int64 if schema.classes else np.float64)
    return Prepared(
        frame.reset_index(drop=True), schema, y, clock.of(keep), dropped, notes, found.headline
    )


def to_columns(frame: pd.DataFrame, schema: TableSchema) -> dict[str, np.ndarray]:
    """A split's rows as the encoder takes them; columns that the frame lacks are left out."""
    columns = {}
    for column in schema.inputs:
        if column.name not in frame.columns:
            continue
        cells = frame[column.name]
        if column.words:
            known = [None if cell is None else str(cell) for cell in cells]
            mixed = [number_or_word(cell, column.words) for cell in known]
            columns[column.name] = np.array(mixed, object)
        elif column.role == "numeric":
            columns[column.name] = cells.to_numpy(np.float64, na_value=np.nan)
        elif column.role == "time":
            columns[column.name] = cells.to_numpy("datetime64[us]")
        else:
            columns[column.name] = cells.to_numpy(object)
    return columns


def load_columns(features: Path, split: str, schema: TableSchema) -> dict[str, np.ndarray]:
    """The rows of a split as `TabularHost.scores` takes them."""
    import pandas as pd

    return to_columns(pd.read_parquet(Path(features) / f"{split}.parquet"), schema)


def _check_columns(table: Table, target: str, config: TabularConfig) -> None:
    """Refuses settings that name a column which the table lacks."""
    for name in config.features.drop:
        if name == target:
            raise UsageError(f"setting 'features.drop': column {name!r} is the target")
        _check_setting("drop", name, table.names)
    if config.features.time_column is not None:
        _check_setting("time_column", config.features.time_column, table.names)


def _check_setting(setting: str, name: str, names: list[str]) -> None:
    if name not in names:
        problem = f"column {name!r} is not in the table. {near(name, names)}"
        raise UsageError(f"setting 'features.{setting}': {problem}")


def _target_name(table: Table, names: list[str], edits: Edits, config: TabularConfig) -> str:
    sample = TARGETS[config.features.sample] if config.data.uri is None else None
    target = config.features.target or edits.target or sample
    named_by = table.file if config.features.target else edits.file or table.file
    if target is None:
        hint = f"Type --target NAME. {near('', names)}"
        raise BadData("say which column is to be predicted", file=table.file, hint=hint)
    if target not in names:
        problem = "the table has no such column to predict"
        raise BadData(problem, file=named_by, column=target, hint=near(target, names))
    return target


def _inputs(
    table: Table, names: list[str], edits: Edits, config: TabularConfig
) -> tuple[list[Column], dict[str, pd.Series[Any]]]:
    """The judged columns, and the values of those that are used."""
    columns, values = [], {}
    for name in names:
        if name in config.features.drop:
            column = Column(name=name, role="drop", description="left out by features.drop")
        elif edits.role(name) == "drop":
            column = Column(name=name, role="drop", description="left out by the schema")
        else:
            given = edits.columns.get(name, {})
            inferred = infer_column(table, name, config.features, given)
            column = edits.apply(inferred)
        columns.append(column)
        if column.role != "drop":
            try:
                values[name] = convert(column, table, edits.requires(name))
            except BadData as error:
                raise edits.explain(error) from None
    return columns, values


def _rows_to_keep(
    table: Table, target: str, y: np.ndarray, clock: order.Clock
) -> tuple[np.ndarray, dict[str, int]]:
    """Which rows have a target (and a time, when divided by it), and how many have not."""
    keep, dropped = np.ones(len(y), bool), {}
    for column, values in ((target, y), (clock.column, clock.times)):
        if values is None:
            continue
        missing = np.isnan(values) & keep
        if not missing.any():
            continue
        if missing.sum() > len(y) / 2:
            problem = f"{missing.sum()} of {len(y)} rows have no value; more than half"
            raise table.fault(column, int(missing.argmax()), problem)
        dropped[f"without {column}"] = int(missing.sum())
        keep &= ~missing
    if keep.sum() < divide.LEAST_ROWS:
        problem = f"{keep.sum()} rows can be used; at least {divide.LEAST_ROWS} are needed"
        raise BadData(problem, file=table.file)
    return keep, dropped


def _unlisted(names: list[str], edits: Edits, target: str, table: Table) -> list[str]:
    """Refuses a schema that asks for a column the table lacks; notes columns that it does not
    name."""
    for name, given in edits.columns.items():
        if name not in names and given.get("role") != "drop":
            problem = "the schema names a column that the table lacks"
            raise BadData(problem, file=edits.file, column=name, hint=near(name, names))
    if edits.file is None:
        return []
    others = [name for name in names if name not in edits.columns and name != target]
    inferred = f"; inferred, not edited there: {', '.join(others[:10])}" if others else ""
    notes = [f"columns follow {edits.file.name}{inferred}"]
    if edits != edits.of_target(target):
        of = f"those of {edits.target}, not of {target}"
        notes.append(f"task and classes in {edits.file.name} are {of}: they were not used")
    return notes
