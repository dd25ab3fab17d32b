"""Value objects of the join: the channels that take part, the joined shots, the counters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

UInt = NDArray[np.uint64]
Int = NDArray[np.int64]
Float = NDArray[np.float64]
Bool = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Channel:
    """One table kind that takes part in the join.

    Parameters
    ----------
    kind : str
        The table kind.
    columns : tuple of str
        Numeric or boolean columns to carry along.
    """

    kind: str
    columns: tuple[str, ...]


@dataclass(slots=True)
class JoinCounters:
    """Where the rows of one channel went.

    Conservation: ``rows_in = joined + duplicate + late + future + pending``.

    Parameters
    ----------
    rows_in : int
        Rows offered.
    joined : int
        Rows emitted in a shot.
    duplicate : int
        Rows for a pulse that this channel had given already; the first wins.
    late : int
        Rows for a pulse that had been emitted.
    future : int
        Rows for which the ring has no slot: too far ahead, or between two strides.
    pending : int
        Rows in the ring.
    """

    rows_in: int = 0
    joined: int = 0
    duplicate: int = 0
    late: int = 0
    future: int = 0
    pending: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class JoinedShots:
    """Shots in the order of their pulse ids, one row each.

    Parameters
    ----------
    pulse_id : ndarray of uint64, shape (n,)
        Strictly increasing.
    timestamp_ns : ndarray of int64, shape (n,)
        Exposure times [ns UTC].
    columns : mapping of str to ndarray of float64, shape (n,)
        Values by ``kind.column``; NaN where missing, booleans as 0 and 1.
    present : mapping of str to ndarray of bool, shape (n,)
        Whether the channel of a kind gave the shot.
    """

    pulse_id: UInt
    timestamp_ns: Int
    columns: Mapping[str, Float]
    present: Mapping[str, Bool]

    def __len__(self) -> int:
        return len(self.pulse_id)

    def select(self, mask: Bool) -> JoinedShots:
        """Keep some of the shots.

        Parameters
        ----------
        mask : ndarray of bool, shape (n,)
            Which to keep.

        Returns
        -------
        JoinedShots
            The selected shots.
        """
        return JoinedShots(
            self.pulse_id[mask],
            self.timestamp_ns[mask],
            {name: values[mask] for name, values in self.columns.items()},
            {name: values[mask] for name, values in self.present.items()},
        )


def concatenate_shots(parts: Sequence[JoinedShots]) -> JoinedShots:
    """Put shots one after the other.

    Parameters
    ----------
    parts : sequence of JoinedShots
        At least one; all with the same columns.

    Returns
    -------
    JoinedShots
        All shots, in the order given.
    """
    return JoinedShots(
        np.concatenate([part.pulse_id for part in parts]),
        np.concatenate([part.timestamp_ns for part in parts]),
        {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns},
        {name: np.concatenate([part.present[name] for part in parts]) for name in parts[0].present},
    )
