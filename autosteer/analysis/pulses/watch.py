"""Watches what pulse characterisation says over many shots, and says when something is wrong."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

import numpy as np

from autosteer.analysis.pulses.analyser import DISAGREEMENT_SIGMAS, AuditedShots
from autosteer.analysis.pulses.result import N_CLASSES, Abstained, PulseResult

# Judgements rest on this many of the newest shots, or audits.
_SHOTS, _AUDITS = 2000, 40
_MANY_ABSTAINED = 0.2
_MANY_DISAGREE = 0.1
_NEARLY_ALL = 0.9
# Shots that follow the calibration have goodness about zero with a spread of about one.
_BAD_GOODNESS = -4.0
_REASONS = {
    Abstained.EMPTY: "no electrons: is the beam on the spectrometer?",
    Abstained.NOT_A_NUMBER: "counts that are no numbers",
    Abstained.NEGATIVE: "negative counts",
    Abstained.SATURATED: "saturated channels: lower the gain",
    Abstained.INCOMPLETE: "channels that have not come: look at their streams",
}


@dataclass(frozen=True, slots=True)
class PulseFinding:
    """What has been noticed.

    Parameters
    ----------
    kind : {"abstained", "unlike", "many", "disagree", "well"}
        Shots of which nothing can be said; sinograms unlike the calibration; many lines nearly
        everywhere; estimators that do not agree; nothing is wrong any more.
    text : str
        The same for people, with what to do.
    """

    kind: Literal["abstained", "unlike", "many", "disagree", "well"]
    text: str


class PulseWatch:
    """Counts abstentions and audits, and compares them with what they should be."""

    def __init__(self) -> None:
        self._abstained: deque[int] = deque(maxlen=_SHOTS)
        self._goodness: deque[float] = deque(maxlen=_AUDITS)
        self._deviant: deque[bool] = deque(maxlen=_AUDITS)
        self._many: deque[bool] = deque(maxlen=_SHOTS)
        self._told: str = "well"
        self.abstained = self.audited = self.same_count = self.compared = self.disagreed = 0

    @property
    def counters(self) -> dict[str, int]:
        """What was counted so far: shots not spoken of, shots audited, and what came of these."""
        return {
            "abstained": self.abstained,
            "audited": self.audited,
            "audited_same_count": self.same_count,
            "audited_phases": self.compared,
            "audited_disagree": self.disagreed,
        }

    def take(self, result: PulseResult, audited: AuditedShots | None) -> None:
        """Take what was found in a batch.

        Parameters
        ----------
        result : PulseResult
            What the estimator says.
        audited : AuditedShots, optional
            What a second one says of some of its shots.
        """
        self.abstained += int(np.count_nonzero(result.abstained))
        self._abstained.extend(result.abstained.tolist())
        lines = result.n_spikes[result.n_spikes > 0]
        self._many.extend((lines == N_CLASSES - 1).tolist())
        if audited is None:
            self._goodness.extend(result.goodness[np.isfinite(result.goodness)].tolist())
            return
        goodness = audited.second.goodness
        self._goodness.extend(goodness[np.isfinite(goodness)].tolist())
        said = audited.second.abstained == Abstained.NO
        compared = np.isfinite(audited.deviation)
        self.audited += int(np.count_nonzero(said))
        self.same_count += int(np.count_nonzero(audited.same_count & said))
        self.compared += int(np.count_nonzero(compared))
        self.disagreed += int(np.count_nonzero(audited.disagrees))
        self._deviant.extend(audited.disagrees[compared].tolist())

    def finding(self) -> PulseFinding | None:
        """Return what is new since the last call, if anything is.

        Returns
        -------
        PulseFinding or None
            The finding; the same is told once.
        """
        finding = self._judge()
        if finding.kind == self._told:
            return None
        self._told = finding.kind
        return finding

    def _judge(self) -> PulseFinding:
        n = len(self._abstained)
        share = np.count_nonzero(self._abstained) / max(n, 1)
        if n == _SHOTS and share > _MANY_ABSTAINED:
            reasons = np.bincount(np.array(self._abstained), minlength=len(Abstained))
            reason = Abstained(int(reasons[1:].argmax()) + 1)
            return PulseFinding(
                "abstained",
                f"nothing can be said of {share:.0%} of the last {n} pulses: {_REASONS[reason]}",
            )
        goodness = float(np.median(self._goodness)) if self._goodness else 0.0
        if len(self._goodness) == _AUDITS and goodness < _BAD_GOODNESS:
            return PulseFinding(
                "unlike",
                f"sinograms are unlike the calibration (median goodness {goodness:.1f}): "
                "calibrate anew with 'autosteer calibrate pulses'",
            )
        if len(self._many) == _SHOTS and sum(self._many) > _NEARLY_ALL * _SHOTS:
            return PulseFinding(
                "many",
                f"{sum(self._many) / _SHOTS:.0%} of the last {_SHOTS} pulses seem to have four or "
                "more sub-spikes: if that is not so, lines are wider than calibrated: calibrate "
                "anew with 'autosteer calibrate pulses'",
            )
        deviant = sum(self._deviant)
        if len(self._deviant) == _AUDITS and deviant > _MANY_DISAGREE * _AUDITS:
            return PulseFinding(
                "disagree",
                f"{deviant} of {_AUDITS} audited pulse pairs have phases that differ by more than "
                f"{DISAGREEMENT_SIGMAS:g} standard deviations between the two estimators: use "
                "the matched one, or train the network on data like these",
            )
        return PulseFinding("well", "pulse characterisation is as it should be again")
