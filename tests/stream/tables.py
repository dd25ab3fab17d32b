"""Small tables for the tests of the stream room."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from autosteer.contracts import Header, make_batch, schema_hash, table_kind

RUN = "run-1"
SHOT_NS = 10_000_000


def machine(pulse_ids: Sequence[int], intensity: float = 1.0) -> pa.RecordBatch:
    """Make a machine table; the time stamps follow the pulse ids."""
    ids = np.asarray(pulse_ids, dtype=np.uint64)
    return make_batch(
        table_kind("machine"),
        {
            "pulse_id": ids,
            "timestamp": ids.astype(np.int64) * SHOT_NS,
            "beam_intensity": np.full(len(ids), intensity),
        },
    )


def indexing(pulse_ids: Sequence[int], hit: bool = True) -> pa.RecordBatch:
    """Make an indexing table."""
    ids = np.asarray(pulse_ids, dtype=np.uint64)
    return make_batch(
        table_kind("indexing"),
        {
            "pulse_id": ids,
            "timestamp": ids.astype(np.int64) * SHOT_NS,
            "hit": np.full(len(ids), hit),
            "n_spots": np.full(len(ids), 20),
        },
    )


def header_of(batch: pa.RecordBatch, kind: str = "machine", **changes: object) -> Header:
    """Make the header that belongs to a batch, with some fields changed."""
    fields: dict[str, object] = {
        "message": "table",
        "source": "source",
        "kind": kind,
        "run_uid": RUN,
        "boot_uid": "boot-1",
        "seq": 0,
        "schema_hash": schema_hash(batch.schema),
        "n": batch.num_rows,
    }
    return Header.model_validate(fields | changes)
