"""The table ``machine``: pulse energies as the beam monitor reads them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from autosteer.contracts.table_kinds import MACHINE
from autosteer.contracts.tables import make_batch

# Standard deviation of a reading, relative to what is read.
_ERROR = 0.01


def monitor_batch(
    pulse_ids: NDArray[np.uint64],
    timestamps_ns: ArrayLike,
    beam_intensity: NDArray[np.float64],
    normal: NDArray[np.float64],
) -> pa.RecordBatch:
    """Make the table of some pulses.

    Parameters
    ----------
    pulse_ids : ndarray of uint64, shape (n,)
        Pulses.
    timestamps_ns : array_like of int64, shape (n,)
        Time of each, UTC since 1970 [ns].
    beam_intensity : ndarray of float64, shape (n,)
        True energy of each, over the nominal one.
    normal : ndarray of float64, shape (n,)
        Standard normal numbers, from which the errors of the readings come.

    Returns
    -------
    pyarrow.RecordBatch
        n rows.
    """
    return make_batch(
        MACHINE,
        {
            "pulse_id": pulse_ids,
            "timestamp": np.asarray(timestamps_ns, np.int64),
            "beam_intensity": beam_intensity * (1 + _ERROR * normal),
        },
    )
