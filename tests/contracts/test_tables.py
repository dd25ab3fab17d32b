"""Result tables: kinds keep their promises."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from autosteer.contracts import (
    INDEXING,
    MACHINE,
    TableError,
    check_schema,
    column,
    item_kind,
    make_batch,
    register_table_kind,
    schema_hash,
    shot_kind,
    table_kind,
    table_kinds,
)


def test_every_column_states_its_unit_and_what_it_is() -> None:
    for kind in table_kinds():
        for field in kind.schema:
            assert field.metadata[b"unit"], f"{kind.name}.{field.name}"
            assert field.metadata[b"description"], f"{kind.name}.{field.name}"


def test_what_is_left_out_is_null_and_not_zero() -> None:
    batch = make_batch(INDEXING, {"pulse_id": [1, 2], "timestamp": [0, 1], "n_spots": [3, 4]})
    assert batch.schema.equals(INDEXING.schema)
    assert batch.column("hit").null_count == 2
    assert batch.column("resolution_angstrom").null_count == 2
    assert batch.column("n_spots").to_pylist() == [3, 4]


def test_values_are_cast_to_the_kinds_types() -> None:
    values = {"pulse_id": np.array([1], np.int64), "timestamp": [5], "beam_intensity": [0.5]}
    assert make_batch(MACHINE, values).column("pulse_id").type == pa.uint64()


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        ({"pulse_id": [1], "timestamp": [0], "intensity": [1]}, "no column"),
        ({"timestamp": [0]}, "needs the column 'pulse_id'"),
        ({"pulse_id": [1]}, "needs the column 'timestamp'"),
        ({"pulse_id": [1], "timestamp": [0, 1]}, "2 rows"),
    ],
)
def test_a_table_that_breaks_the_contract_is_refused(
    columns: dict[str, list[float]], text: str
) -> None:
    with pytest.raises(TableError, match=text):
        make_batch(MACHINE, columns)


def test_a_schema_may_have_more_columns_but_not_fewer_or_others() -> None:
    check_schema(MACHINE, MACHINE.schema.append(pa.field("laser_on", pa.bool_())))
    with pytest.raises(TableError, match="lacks the column 'beam_intensity'"):
        check_schema(MACHINE, MACHINE.schema.remove(2))
    with pytest.raises(TableError, match="has type string"):
        check_schema(MACHINE, MACHINE.schema.set(2, pa.field("beam_intensity", pa.string())))


def test_a_facility_can_register_its_own_kind_once() -> None:
    own = shot_kind("test_xes", [column("edge_ev", pa.float64(), "eV", "absorption edge")])
    assert register_table_kind(own) is table_kind("test_xes")
    register_table_kind(own)
    other = shot_kind("test_xes", [])
    with pytest.raises(TableError, match="registered already"):
        register_table_kind(other)


def test_item_kinds_are_keyed_by_pulse_and_item() -> None:
    kind = item_kind("test_items", [])
    assert kind.schema.names == ["pulse_id", "item"]


def test_the_hash_sees_names_and_types() -> None:
    renamed = MACHINE.schema.set(2, pa.field("intensity", pa.float32()))
    retyped = MACHINE.schema.set(2, pa.field("beam_intensity", pa.float64()))
    assert len({schema_hash(s) for s in (MACHINE.schema, renamed, retyped)}) == 3
