"""A trail: the shots taken on the way from one setting to the next, with where the knobs were."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from autosteer.contracts import Experiment, Outcome
from autosteer.steering.readback import ReadbackHistory
from autosteer.steering.reduction import Reduction, estimates_of
from autosteer.stream import JoinedShots, concatenate_shots

Float = NDArray[np.float64]
Int = NDArray[np.int64]
Bool = NDArray[np.bool_]

# A piece of a trail is at most this long, in units of the knobs' ranges, and has so many shots.
_LONGEST_PIECE = 0.04
_FEWEST_SHOTS = 3


class Trail:
    """Collects the shots of one move.

    The path is cut into pieces of equal numbers of shots, short against the knobs' ranges, and each
    becomes an outcome at the mean of the positions read back.

    Parameters
    ----------
    name : str
        Name of the move; its pieces are called ``name/1`` and so on.
    opened_ns : int
        When the move was asked for [ns UTC].
    experiment : Experiment
        Knobs and quantities.
    """

    def __init__(self, name: str, opened_ns: int, experiment: Experiment) -> None:
        self._name = name
        self._opened_ns = opened_ns
        self._knobs = experiment.knobs
        self._quantities = experiment.quantities
        self._shots: list[JoinedShots] = []
        self.closed_ns: int | None = None

    def belongs(self, times_ns: Int) -> Bool:
        """Tell which shots were taken on the way.

        Parameters
        ----------
        times_ns : ndarray of int64, shape (n,)
            Times of the shots' pulses [ns UTC].

        Returns
        -------
        ndarray of bool, shape (n,)
            True for a shot of this move.
        """
        mask: Bool = times_ns >= self._opened_ns
        return mask if self.closed_ns is None else mask & (times_ns < self.closed_ns)

    def fold(self, shots: JoinedShots) -> None:
        """Take shots in that belong.

        Parameters
        ----------
        shots : JoinedShots
            At least one shot, in order.
        """
        self._shots.append(shots)

    def outcomes(self, histories: Mapping[str, ReadbackHistory]) -> list[Outcome]:
        """Summarise the pieces of the path.

        Parameters
        ----------
        histories : mapping of str to ReadbackHistory
            Where each knob was.

        Returns
        -------
        list of Outcome
            One for each piece, in order.
        """
        if not self._shots:
            return []
        shots = concatenate_shots(self._shots)
        positions = self._positions(shots.timestamp_ns, histories)
        known: Bool = ~np.any(np.isnan(positions), axis=1)
        if np.count_nonzero(known) < _FEWEST_SHOTS:
            return []
        shots, positions = shots.select(known), positions[known]
        ranges = np.array([knob.high - knob.low for knob in self._knobs.values()])
        length = float(np.sum(np.max(np.abs(np.diff(positions / ranges, axis=0)), axis=1)))
        wanted = int(np.ceil(length / _LONGEST_PIECE))
        number = max(min(wanted, len(shots) // _FEWEST_SHOTS), 1)
        pieces = np.array_split(np.arange(len(shots)), number)
        return [
            self._outcome(f"{self._name}/{index + 1}", shots, positions, piece)
            for index, piece in enumerate(pieces)
        ]

    def _positions(self, times_ns: Int, histories: Mapping[str, ReadbackHistory]) -> Float:
        """Return where the sample saw the knobs at each shot, shape (n, n_knobs)."""
        return np.stack(
            [
                histories[name].interpolated(times_ns - round(knob.response_delay_s * 1e9))
                for name, knob in self._knobs.items()
            ],
            axis=1,
        )

    def _outcome(
        self, name: str, shots: JoinedShots, positions: Float, piece: NDArray[np.intp]
    ) -> Outcome:
        part = shots.select(np.isin(np.arange(len(shots)), piece))
        reductions = {quantity.name: Reduction(quantity) for quantity in self._quantities}
        for reduction in reductions.values():
            reduction.add(part)
        return Outcome(
            suggestion_id=name,
            readback=dict(zip(self._knobs, positions[piece].mean(axis=0).tolist(), strict=True)),
            estimates=estimates_of(reductions),
            n_shots=len(part),
            first_pulse_id=int(part.pulse_id[0]),
            last_pulse_id=int(part.pulse_id[-1]),
            t_last_shot_ns=int(part.timestamp_ns[-1]),
            elapsed_s=(int(part.timestamp_ns[-1]) - int(part.timestamp_ns[0])) / 1e9,
            sample_used_nl=None,
            final=True,
        )
