"""Result tables: one Arrow schema per kind, with units in the field metadata.

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


_F8, _F4, _U4, _BOOL = pa.float64(), pa.float32(), pa.uint32(), pa.bool_()

_CELL_UNITS = dict.fromkeys(("a", "b", "c"), "angstrom") | dict.fromkeys(
    ("alpha", "beta", "gamma"), "deg"
)

INDEXING = shot_kind(
    "indexing",
    [
        column("n_spots", _U4, "1", "Bragg spots found"),
        column("hit", _BOOL, "1", "spots enough to call the frame a hit"),
        column("indexed", _BOOL, "1", "a lattice was found"),
        column("n_lattices", _U4, "1", "lattices found"),
        column("n_indexed_spots", _U4, "1", "spots that the best lattice explains"),
        column("resolution_angstrom", _F4, "angstrom", "d of the outermost spots"),
        column("a", _F4, "angstrom", "cell length a of the best lattice"),
        column("b", _F4, "angstrom", "cell length b of the best lattice"),
        column("c", _F4, "angstrom", "cell length c of the best lattice"),
        column("alpha", _F4, "deg", "cell angle alpha of the best lattice"),
        column("beta", _F4, "deg", "cell angle beta of the best lattice"),
        column("gamma", _F4, "deg", "cell angle gamma of the best lattice"),
        column("orientation_sigma_deg", _F4, "deg", "standard deviation of the orientation"),
        column("reason", pa.uint8(), "1", "why there is no lattice; 0 where there is one"),
        column("result_latency_s", _F4, "s", "exposure to the result leaving the worker"),
    ],
)

QUALITY = shot_kind(
    "quality",
    [
        column("n_spots", _U4, "1", "Bragg spots found"),
        column("indexed_fraction", _F4, "1", "spots on lattices over all spots"),
        column("n_lattices", _U4, "1", "lattices found"),
        column("resolution_angstrom", _F4, "angstrom", "d of the outermost spots"),
        column("resolution_robust_angstrom", _F4, "angstrom", "d beyond which a tenth lies"),
        column("rmsd", _F4, "1/angstrom", "rms distance of spots from lattice points"),
        *(
            column(name, _F4, unit, f"cell parameter {name} of the best lattice")
            for name, unit in _CELL_UNITS.items()
        ),
        column("mosaicity_deg", _F4, "deg", "excitation errors taken as mosaicity"),
        column("falloff_b_angstrom2", _F4, "angstrom^2", "apparent B factor of the spots"),
        column("asymmetry", _F4, "1", "0: spots all around the beam, 1: all on one side"),
        column("ring_score", _F4, "1", "share of the spots on rings of ice or powder"),
        column("gain", _F4, "detector counts", "counts of a photon, learned from the noise"),
        column("background_level", _F4, "detector counts", "median background of the frame"),
        column("saturated_fraction", _F4, "1", "saturated over usable pixels"),
        column("geometry_id", pa.uint64(), "1", "calibrated geometry used; null: the one given"),
    ],
)

PULSE = shot_kind(
    "pulse",
    [
        column("n_spikes", _U4, "1", "most probable number of sub-spikes"),
        *(column(f"p_{n}", _F4, "1", f"probability of {n} sub-spikes") for n in range(4)),
        column("p_4", _F4, "1", "probability of four or more sub-spikes"),
        column("p_two_spike", _F4, "1", "probability of exactly two sub-spikes"),
        column("phase_rad", _F4, "rad", "streaking phase of the first sub-spike"),
        column("delta_phase_rad", _F4, "rad", "phase between two sub-spikes, folded to [0, pi]"),
        column("delta_phase_sigma_rad", _F4, "rad", "standard deviation of that phase"),
        column("delay_as", _F4, "as", "delay between two sub-spikes"),
        column("goodness", _F4, "1", "goodness of fit"),
        column("ambiguous", _BOOL, "1", "two explanations compete"),
        column("abstained", pa.uint8(), "1", "why nothing is said; 0 where something is"),
        column("two_spike_corrected", _F4, "1", "two sub-spikes, 1 or 0, corrected for miscounts"),
        column("result_latency_s", _F4, "s", "exposure to the result leaving the worker"),
    ],
)

AUDIT = shot_kind(
    "audit",
    [
        column("n_spikes", _U4, "1", "sub-spikes as the matched estimator counts them"),
        column("same_count", _BOOL, "1", "the pulse's own estimator counts as many"),
        column("delta_phase_rad", _F4, "rad", "phase between two sub-spikes, matched"),
        column("delta_phase_sigma_rad", _F4, "rad", "standard deviation of that phase"),
        column("deviation", _F4, "1", "difference of the phases in their standard deviations"),
        column("disagrees", _BOOL, "1", "that difference is beyond 5 standard deviations"),
    ],
)
"""The few shots that a second estimator has looked at; the others have no row."""

MACHINE = shot_kind(
    "machine",
    [
        column("beam_intensity", _F4, "1", "pulse energy over its nominal value"),
    ],
)

SPOTS = item_kind(
    "spots",
    [
        column("panel", _U4, "1", "detector panel"),
        column("slow_px", _F4, "px", "centroid along the slow axis, 0 at the first pixel's centre"),
        column("fast_px", _F4, "px", "centroid along the fast axis, 0 at the first pixel's centre"),
        column("intensity", _F4, "detector counts", "sum above background"),
        column("sigma", _F4, "detector counts", "standard deviation of the intensity"),
        column("n_pixels", _U4, "1", "pixels of the spot"),
        column("snr", _F4, "1", "counts over the noise of the background"),
        column("on_ring", _BOOL, "1", "lies on a ring of ice or powder"),
        column("q_x", _F4, "1/angstrom", "scattering vector, x"),
        column("q_y", _F4, "1/angstrom", "scattering vector, y"),
        column("q_z", _F4, "1/angstrom", "scattering vector, z"),
        column("lattice", _U4, "1", "item of the lattice to which the spot belongs"),
        *(column(index, pa.int32(), "1", f"Miller index {index}") for index in "hkl"),
        column("residual", _F4, "1/angstrom", "distance from the lattice point"),
    ],
)

LATTICES = item_kind(
    "lattices",
    [
        *(
            column(f"{vector}_{axis}", _F8, "angstrom", f"cell vector {vector}, {axis}")
            for vector in "abc"
            for axis in "xyz"
        ),
        column("n_indexed_spots", _U4, "1", "spots that this lattice explains"),
        *(
            column(f"{name}{suffix}", _F4, unit, f"{text} {name}")
            for suffix, text in (("", "cell parameter"), ("_sigma", "standard deviation of"))
            for name, unit in _CELL_UNITS.items()
        ),
        column("orientation_sigma_deg", _F4, "deg", "standard deviation of the orientation"),
        column("position_sigma", _F4, "1/angstrom", "scatter of the spots across their rays"),
        column("excitation_sigma", _F4, "1/angstrom", "scatter of the spots along their rays"),
        column("n_indexings", _U4, "1", "ways to index that only intensities can tell apart"),
        column("chance_probability", _F4, "1", "bound on chance doing as well"),
    ],
)

CALIBRATION = item_kind(
    "calibration",
    [
        column("quantity", pa.uint8(), "1", "0-2 shift x, y, z [mm]; 3-4 cell scale, distortion"),
        column("panel", pa.int32(), "1", "panel of the detector; -1 for all of it"),
        column("value", _F8, "1", "the number, in the quantity's unit"),
        column("sigma", _F8, "1", "standard deviation of the value"),
        column("n_frames", _U4, "1", "frames that it rests on"),
        column("trust", pa.uint8(), "1", "0 untrusted, 1 provisional, 2 trusted"),
        column("calibration_id", pa.uint64(), "1", "fingerprint of the calibration"),
        column("geometry_id", pa.uint64(), "1", "fingerprint of all that were found together"),
    ],
)
"""Calibrations; ``pulse_id`` is the first pulse that each is valid from."""

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


for _kind in (INDEXING, QUALITY, PULSE, AUDIT, MACHINE, SPOTS, LATTICES, CALIBRATION):
    register_table_kind(_kind)


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
    >>> schema_hash(MACHINE.schema) == schema_hash(MACHINE.schema.remove_metadata())
    True
    """
    text = ";".join(f"{field.name}:{field.type}" for field in schema)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
