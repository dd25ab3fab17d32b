"""The course of one run: what it had cost, and how good its places truly were, at each moment."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
Int = NDArray[np.int64]
Bool = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """A run on the virtual clock, moment by moment, seen by those who know the truth.

    Parameters
    ----------
    beam_s : ndarray of float64, shape (n,)
        Beam time since the start of the run, at each moment [s].
    shots : ndarray of int64, shape (n,)
        Shots used until then: taken into a setting, or tagged on the way.
    moves : ndarray of int64, shape (n,)
        Moves that had arrived.
    sample_ul : ndarray of float64, shape (n,)
        Sample that had flown [ul]; NaN where the experiment file gives no flow.
    share_recommended : ndarray of float64, shape (n,)
        How good the place was that the policy then called best, 1 at the best that there is; the
        place of the knobs for a policy that names none at all. NaN before the first, and while
        nothing could be attained.
    share_actual : ndarray of float64, shape (n,)
        The same for where the knobs were; NaN while nothing could be attained.
    violated : ndarray of bool, shape (n,)
        Whether a limit was truly broken there.
    point_violated : ndarray of bool, shape (p,)
        The same for each place that the beam was brought to, the start among them.
    point_values : ndarray of float64, shape (p, k)
        True means of the objectives there, with such a sign that more is better.
    front : ndarray of float64, shape (m, k)
        The same at the best place, or along the Pareto front; empty where it is not known.
    has_limits : bool
        Whether there were limits to keep.
    asks : int
        Questions that the policy was asked.
    ask_cpu_s : float
        Processor time of its answers [s].
    wall_s : float
        Time that the run took here [s].
    ok : bool
        Whether it ended as planned.
    reason : str
        Why it ended.
    """

    beam_s: Float
    shots: Int
    moves: Int
    sample_ul: Float
    share_recommended: Float
    share_actual: Float
    violated: Bool
    point_violated: Bool
    point_values: Float
    front: Float
    has_limits: bool
    asks: int
    ask_cpu_s: float
    wall_s: float
    ok: bool
    reason: str

    def save(self, path: Path) -> None:
        """Write the course, whole or not at all.

        Parameters
        ----------
        path : Path
            An ``.npz`` file, in a folder that exists.
        """
        part = path.with_name(f".{path.stem}-{os.getpid()}.npz")
        np.savez_compressed(part, **{one.name: getattr(self, one.name) for one in fields(self)})
        part.replace(path)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a course.

        Parameters
        ----------
        path : Path
            A file that `save` wrote.

        Returns
        -------
        Course
            The course.
        """
        # NumPy leaves a file open that it cannot read.
        with path.open("rb") as file, np.load(file) as arrays:
            values = {one.name: arrays[one.name] for one in fields(cls)}
        return cls(**{name: one if one.ndim else one.item() for name, one in values.items()})
