"""Result tables: kinds, their registry, and batches of them.

Each kind has one Arrow schema, with units in the field metadata.

A *shot table* has one row per shot and is joined by ``pulse_id``. An *item table* (spots,
lattices, sub-spikes) has any number of rows per shot, keyed by (``pulse_id``, ``item``); it is
recorded and displayed, never joined. A missing value is null or NaN, never zero.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike

from autosteer.contracts.errors import TableError

Rows = Literal["shot", "item"]


@dataclass(frozen=True, slots=True)
class TableKind:
    """What the rows of a table are, and which columns they have.

    Parameters
    ----------
    name : str
        Name of the kind, used as topic on the wire and as file name in a recording.
    schema : pyarrow.Schema
        Columns in order, with ``unit`` and ``description`` in each field's metadata.
    rows : {"shot", "item"}
        Whether a row is a shot or one of several items of a shot.
    """

    name: str
    schema: pa.Schema
    rows: Rows

    @property
    def value_columns(self) -> tuple[str, ...]:
        """Names of the columns that are not keys."""
        return tuple(name for name in self.schema.names if name not in KEY_COLUMNS)


KEY_COLUMNS = ("pulse_id", "timestamp", "item")


def column(
    name: str, dtype: pa.DataType, unit: str, description: str, *, nullable: bool = True
) -> pa.Field:
    """Describe one column.

    Parameters
    ----------
    name : str
        Column name, with the unit as suffix where a bare number travels.
    dtype : pyarrow.DataType
        Arrow type, fixed width.
    unit : str
        Unit of the values; ``"1"`` for pure numbers.
    description : str
        What the column holds, one line.
    nullable : bool, default True
        Whether a value may be missing.

    Returns
    -------
    pyarrow.Field
        The field, unit and description in its metadata.
    """
    return pa.field(name, dtype, nullable, {"unit": unit, "description": description})


_SHOT_KEYS = [
    column("pulse_id", pa.uint64(), "1", "number of the machine pulse", nullable=False),
    column("timestamp", pa.int64(), "ns", "time of the pulse, UTC since 1970", nullable=False),
]
_ITEM_KEYS = [
    _SHOT_KEYS[0],
    column("item", pa.uint32(), "1", "running number within the shot", nullable=False),
]


def shot_kind(name: str, columns: Sequence[pa.Field]) -> TableKind:
    """Make a kind with one row per shot.

    Parameters
    ----------
    name : str
        Name of the kind.
    columns : sequence of pyarrow.Field
        Columns after ``pulse_id`` and ``timestamp``; see `column`.

    Returns
    -------
    TableKind
        The kind, not yet registered.
    """
    return TableKind(name, pa.schema([*_SHOT_KEYS, *columns]), "shot")


def item_kind(name: str, columns: Sequence[pa.Field]) -> TableKind:
    """Make a kind with several rows per shot.

    Parameters
    ----------
    name : str
        Name of the kind.
    columns : sequence of pyarrow.Field
        Columns after ``pulse_id`` and ``item``; see `column`.

    Returns
    -------
    TableKind
        The kind, not yet registered.
    """
    return TableKind(name, pa.schema([*_ITEM_KEYS, *columns]), "item")


_REGISTRY: dict[str, TableKind] = {}


def register_table_kind(kind: TableKind) -> TableKind:
    """Make a kind known to every stage of this process.

    A facility adds its own kinds by this at import of its package.

    Parameters
    ----------
    kind : TableKind
        The kind; `shot_kind` and `item_kind` make one.

    Returns
    -------
    TableKind
        The same kind.

    Raises
    ------
    TableError
        If another schema is registered under the same name, or a key column is missing.
    """
    keys = ("pulse_id", "timestamp") if kind.rows == "shot" else ("pulse_id", "item")
    missing = [key for key in keys if key not in kind.schema.names]
    if missing:
        raise TableError(f"table kind '{kind.name}' lacks the key column(s) {missing}")
    known = _REGISTRY.get(kind.name)
    if known is not None and not known.schema.equals(kind.schema):
        raise TableError(
            f"table kind '{kind.name}' is registered already with other columns: "
            "choose another name"
        )
    _REGISTRY[kind.name] = kind
    return kind


def table_kind(name: str) -> TableKind:
    """Look a kind up by name.

    Parameters
    ----------
    name : str
        Name of a registered kind.

    Returns
    -------
    TableKind
        The kind.

    Raises
    ------
    TableError
        If no such kind is registered.
    """
    try:
        return _REGISTRY[name]
    except KeyError:
        raise TableError(
            f"no table kind '{name}': there are {', '.join(sorted(_REGISTRY))}"
        ) from None


def table_kinds() -> tuple[TableKind, ...]:
    """Return all registered kinds, by name.

    Returns
    -------
    tuple of TableKind
        The kinds in alphabetic order.
    """
    return tuple(_REGISTRY[name] for name in sorted(_REGISTRY))


def make_batch(kind: TableKind, columns: Mapping[str, ArrayLike | pa.Array]) -> pa.RecordBatch:
    """Build a record batch of a kind from arrays; columns that are left out become null.

    Parameters
    ----------
    kind : TableKind
        Kind of the table.
    columns : mapping of str to array
        Values by column name, all of shape (n,). Masked or NaN floats stay NaN.

    Returns
    -------
    pyarrow.RecordBatch
        Batch of n rows with exactly the columns of the kind.

    Raises
    ------
    TableError
        If a column is unknown, a key is missing, or lengths differ.

    Examples
    --------
    >>> from autosteer.contracts import MACHINE
    >>> batch = make_batch(MACHINE, {"pulse_id": [7], "timestamp": [0], "beam_intensity": [1.0]})
    >>> batch.num_rows
    1
    """
    unknown = sorted(set(columns) - set(kind.schema.names))
    if unknown:
        raise TableError(
            f"table kind '{kind.name}' has no column(s) {unknown}: it has {kind.schema.names}"
        )
    if "pulse_id" not in columns:
        raise TableError(f"a batch of kind '{kind.name}' needs the column 'pulse_id'")
    n_rows = len(columns["pulse_id"])  # type: ignore[arg-type]
    arrays = []
    for field in kind.schema:
        values: Any = columns.get(field.name)
        if values is None:
            if not field.nullable:
                raise TableError(f"a batch of kind '{kind.name}' needs the column '{field.name}'")
            arrays.append(pa.nulls(n_rows, field.type))
            continue
        if isinstance(values, pa.Array):
            array = values if values.type == field.type else values.cast(field.type)
        else:
            array = pa.array(_as_type(np.asarray(values), field.type), type=field.type)
        if len(array) != n_rows:
            raise TableError(
                f"column '{field.name}' of kind '{kind.name}' has {len(array)} rows, "
                f"'pulse_id' has {n_rows}"
            )
        arrays.append(array)
    return pa.RecordBatch.from_arrays(arrays, schema=kind.schema)


def _as_type(values: np.ndarray[Any, Any], dtype: pa.DataType) -> np.ndarray[Any, Any]:
    """Cast to the NumPy twin of an Arrow type, without a copy where none is needed."""
    return np.ascontiguousarray(values, dtype=dtype.to_pandas_dtype())


def check_schema(kind: TableKind, schema: pa.Schema) -> None:
    """Check that a schema has the columns of a kind; further columns are allowed.

    Parameters
    ----------
    kind : TableKind
        Kind that the table claims to be.
    schema : pyarrow.Schema
        Its schema.

    Raises
    ------
    TableError
        If a column is missing or has another type.
    """
    for field in kind.schema:
        index = schema.get_field_index(field.name)
        if index < 0:
            raise TableError(f"a table of kind '{kind.name}' lacks the column '{field.name}'")
        found = schema.field(index)
        if found.type != field.type:
            raise TableError(
                f"column '{field.name}' of kind '{kind.name}' has type {found.type}, "
                f"not {field.type}"
            )


def schema_hash(schema: pa.Schema) -> str:
    """Fingerprint names and types of a schema, so that a change is seen.

    Parameters
    ----------
    schema : pyarrow.Schema
        The schema; metadata do not count.

    Returns
    -------
    str
        16 hexadecimal digits.

    Examples
    --------
    >>> from autosteer.contracts import MACHINE
    >>> schema_hash(MACHINE.schema) == schema_hash(MACHINE.schema.remove_metadata())
    True
    """
    text = ";".join(f"{field.name}:{field.type}" for field in schema)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
