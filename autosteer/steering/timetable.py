"""When to ask and when to leave: how long settings, asks and moves take."""

from __future__ import annotations

from autosteer.contracts import Experiment
from autosteer.steering.settings import Setting

# An ask is begun so early that it may take this much longer than asks have taken so far.
_LONGER = 1.25
_SPARE_S = 0.03
# The newest duration's weight in the running mean.
_WEIGHT = 0.3


class Timetable:
    """Knows how much of a dwell is done, and when the next ask is due.

    With a pipeline (``dwell.in_flight`` above 0) a shot counts as soon as it is exposed, so that
    the beam does not wait for the analysis; without one it counts when its result has come.

    Parameters
    ----------
    experiment : Experiment
        Dwell, rate and knobs.
    """

    def __init__(self, experiment: Experiment) -> None:
        self._dwell = experiment.dwell
        self._rate_hz = experiment.source.rate_hz
        self._rest_s = experiment.rest_s
        self._ask_s = 0.15
        self._move_s = 0.5
        # Where the present dwell has begun; a person who reads suggestions may stay for several.
        self._begun_ns = 0
        self._shots_before = 0.0

    def begin(self, now_ns: int, shots_before: float = 0.0) -> None:
        """Begin a dwell.

        Parameters
        ----------
        now_ns : int
            Time now [ns UTC].
        shots_before : float, default 0
            Shots of the setting that belong to an earlier dwell at the same place.
        """
        self._begun_ns = now_ns
        self._shots_before = shots_before

    def note_ask(self, took_s: float) -> None:
        """Note how long an ask has taken.

        Parameters
        ----------
        took_s : float
            From the ask to its answer [s].
        """
        self._ask_s += _WEIGHT * (took_s - self._ask_s)

    def note_move(self, took_s: float) -> None:
        """Note how long a move has taken.

        Parameters
        ----------
        took_s : float
            From the decision to the arrival [s].
        """
        self._move_s += _WEIGHT * (took_s - self._move_s)

    def shots_taken(self, setting: Setting, t_processed_ns: int, now_ns: int) -> float:
        """Return how many shots a setting has, those on their way from the analysis included.

        Parameters
        ----------
        setting : Setting
            The present setting.
        t_processed_ns : int
            Every shot before this time has been dealt out [ns UTC].
        now_ns : int
            Time now [ns UTC].

        Returns
        -------
        float
            Shots.
        """
        if self._dwell.in_flight == 0:
            return setting.n_shots
        settled_ns = setting.arrived_ns + round(self._rest_s * 1e9)
        unseen_s = max(now_ns - max(settled_ns, t_processed_ns), 0) / 1e9
        return setting.n_shots + unseen_s * self._rate_hz

    def share_done(self, setting: Setting, t_processed_ns: int, now_ns: int) -> float:
        """Return how much of the dwell is done.

        Parameters
        ----------
        setting : Setting
            The present setting.
        t_processed_ns, now_ns : int
            As for `shots_taken`.

        Returns
        -------
        float
            The share; 1 or more where it is time to leave.
        """
        if now_ns - self._begun_ns >= self._dwell.max_s * 1e9 or self._is_decided(setting):
            return 1.0
        taken = self.shots_taken(setting, t_processed_ns, now_ns)
        return (taken - self._shots_before) / self._wanted(setting.wanted_shots)

    def _is_decided(self, setting: Setting) -> bool:
        """Tell whether the shots so far say that the place is worse than what the policy wants."""
        return setting.n_shots >= self._dwell.min_shots and setting.is_clearly_worse

    def ask_is_due(self, setting: Setting, share_done: float) -> bool:
        """Tell whether an ask that begins now is back just in time.

        Parameters
        ----------
        setting : Setting
            The present setting.
        share_done : float
            How much of its dwell is done.

        Returns
        -------
        bool
            Whether to ask.
        """
        shots_left = (1 - share_done) * self._wanted(setting.wanted_shots)
        return shots_left / self._rate_hz <= self._lead_s

    def ask_is_due_on_the_way(self, shots: int | None, since_s: float) -> bool:
        """Tell the same during a move.

        Parameters
        ----------
        shots : int or None
            Shots wanted at the place; None: as many as the experiment file says.
        since_s : float
            Time since the decision to move [s].

        Returns
        -------
        bool
            Whether to ask.
        """
        stay_s = self._wanted(shots) / self._rate_hz
        return self._move_s - since_s + self._rest_s + stay_s <= self._lead_s

    def _wanted(self, shots: int | None) -> int:
        """Return the shots of a complete setting: as many as the policy wants, or as usual."""
        return shots or self._dwell.shots

    @property
    def _lead_s(self) -> float:
        return _LONGER * self._ask_s + _SPARE_S
