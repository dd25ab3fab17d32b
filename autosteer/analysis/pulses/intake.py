"""From the streams of a spectrometer's channels to sinograms."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from autosteer.analysis.worker import Block
from autosteer.contracts.messages import sinogram_channel
from autosteer.stream import ArrayJoin, ArrayShots, Received


class ChannelIntake:
    """Builds sinograms of channels that come each in a stream of its own.

    Parameters
    ----------
    n_channels, n_bins : int
        Channels round the beam, and energy bins of each.
    rate_hz : float
        Shots per second: the times of the shots within a message follow from it.
    slots : int
        Shots held while channels are waited for.
    pulse_stride : int
        Pulse ids from shot to shot.
    wait_s : float
        A shot waits this long for the last of its channels [s].
    """

    def __init__(
        self,
        n_channels: int,
        n_bins: int,
        *,
        rate_hz: float,
        slots: int,
        pulse_stride: int,
        wait_s: float,
    ) -> None:
        self._names = [sinogram_channel(number) for number in range(n_channels)]
        self._join = ArrayJoin(self._names, n_bins, slots, pulse_stride, wait_s)
        self._n_bins = n_bins
        self._period_ns = 1e9 / rate_hz
        self._ended: set[str] = set()
        self._refused = 0

    def take(self, received: Received, now_ns: int) -> None:
        """Take a message of a channel.

        Parameters
        ----------
        received : Received
            The message; one with rows of another length is counted and left out.
        now_ns : int
            Time now [ns UTC].
        """
        header = received.header
        if received.frames is not None:
            steps = np.arange(header.n)
            pulse_ids = (header.first_pulse_id + steps * header.pulse_stride).astype(np.uint64)
            times_ns = header.t_first_shot_ns + np.rint(steps * self._period_ns).astype(np.int64)
            try:
                self._join.add(header.kind, pulse_ids, times_ns, received.frames, now_ns)
            except ValueError:
                self._refused += header.n
        self._join.heard(header.kind, header.source, header.last_pulse_id, now_ns)
        if header.end_of_stream:
            self._join.ended(header.kind, header.source)
            self._ended.add(header.kind)

    def give(self, now_ns: int) -> list[Block]:
        """Give the shots whose channels have all come, or that have waited too long.

        Parameters
        ----------
        now_ns : int
            Time now [ns UTC].

        Returns
        -------
        list of Block
            Sinograms; NaN where a channel has not come, infinite where it is saturated.
        """
        return self.rest() if self.ended else _blocks(self._join.emit(now_ns))

    def rest(self) -> list[Block]:
        """Give all shots that are there, those included that still wait for channels.

        Returns
        -------
        list of Block
            Sinograms, as those of `give`.
        """
        return _blocks(self._join.flush())

    @property
    def ended(self) -> bool:
        """Whether every channel's stream has ended."""
        return self._ended.issuperset(self._names)

    @property
    def counters(self) -> dict[str, Any]:
        """Where the rows of each channel went."""
        joins = self._join.counters
        return {
            "channels": {name: asdict(counters) for name, counters in joins.items()},
            "misshapen": self._refused,
        }


def _blocks(shots: ArrayShots) -> list[Block]:
    return [Block(shots.values, shots.pulse_id, shots.timestamp_ns)] if len(shots) else []
