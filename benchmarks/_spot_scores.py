"""Scores of a spot finder on frames with known spots."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autosteer.analysis.spots import Spots
from autosteer.sims.detector_kinds import BackgroundKind, DetectorKind, KindSimulator, KindTruth

Frames = NDArray[np.generic]

STRONG_SIGMAS = 6.0
FAINT_SIGMAS = 3.0
# A found spot is the true one if their centres are within this, or the true spot's long width.
_NEAR_PX = 2.0
# Two spots are resolved if their centres are apart by this times the sum of their widths.
_RESOLVED_WIDTHS = 1.5


@dataclass(frozen=True, slots=True, eq=False)
class JudgedFrames:
    """Frames and what they were made from."""

    frames: Frames
    truths: list[KindTruth]


def judged_frames(
    kind: DetectorKind, background: BackgroundKind, n_frames: int, seed: int
) -> JudgedFrames:
    """Make frames with 10 to 300 spots of all widths; every fifth is blank."""
    simulator = KindSimulator(kind, background, seed=seed)
    rng = np.random.default_rng(seed)
    frames, truths = [], []
    for number in range(n_frames):
        n_spots = 0 if number % 5 == 4 else int(10 ** rng.uniform(1, np.log10(300)))
        frame, truth = simulator.frame(number, simulator.random_spots(number, n_spots))
        frames.append(frame)
        truths.append(truth)
    return JudgedFrames(np.stack(frames), truths)


def score(find: Callable[[Frames], Spots], judged: JudgedFrames) -> dict[str, float]:
    """Count true spots that were found, and found ones that are true.

    Returns
    -------
    dict
        ``n_true`` strong whole spots and ``recall`` of them; ``n_true_rare`` and
        ``recall_rare``, the same with sigmas that are as rare as Poisson noise is; ``n_true_own``
        and ``recall_own``, with the spot's own counting noise in sigma; ``precision``, the share
        of found spots that lie on a true one of at least 3 sigmas (or on one that is cut off);
        ``false_blank`` found spots on a blank frame; ``centroid_px``, the rms distance along one
        axis.
    """
    spots = find(judged.frames)
    wanted_of = {"": 0, "_rare": 0, "_own": 0}
    found_of = dict(wanted_of)
    claimed = right = blank = n_blank = 0
    squares: list[float] = []
    for number, truth in enumerate(judged.truths):
        here = spots.frame == number
        claimed += int(here.sum())
        if not len(truth.spots):
            blank, n_blank = blank + int(here.sum()), n_blank + 1
            continue
        same = spots.panel[here][:, None] == truth.spots.panel
        down = spots.slow_px[here][:, None] - truth.spots.slow_px
        right_px = spots.fast_px[here][:, None] - truth.spots.fast_px
        apart = np.where(same, np.hypot(down, right_px), np.inf)
        near = apart <= np.maximum(_NEAR_PX, truth.spots.sigma_long_px)
        right += int((near & ((truth.sigmas >= FAINT_SIGMAS) | ~truth.whole)).any(axis=1).sum())
        reached = np.asarray(near.any(axis=0))
        alone = truth.whole & _stands_alone(truth)
        by_definition = {
            "": truth.sigmas,
            "_rare": truth.sigmas_as_rare,
            "_own": truth.sigmas_with_own,
        }
        for name, sigmas in by_definition.items():
            wanted = (sigmas >= STRONG_SIGMAS) & alone
            wanted_of[name] += int(wanted.sum())
            found_of[name] += int(reached[wanted].sum())
        if len(apart):
            nearest = apart.min(axis=0)[(truth.sigmas >= STRONG_SIGMAS) & alone]
            squares += list(nearest[nearest <= _NEAR_PX] ** 2 / 2)
    return {
        **{f"n_true{name}": count for name, count in wanted_of.items()},
        **{f"recall{name}": found_of[name] / max(1, wanted_of[name]) for name in wanted_of},
        "precision": right / max(1, claimed),
        "false_blank": blank / max(1, n_blank),
        "centroid_px": float(np.sqrt(np.mean(squares))) if squares else float("nan"),
    }


def _stands_alone(truth: KindTruth) -> NDArray[np.bool_]:
    """Say which spots no finder could take for a part of a brighter one."""
    spots = truth.spots
    apart = np.hypot(
        np.subtract.outer(spots.slow_px, spots.slow_px),
        np.subtract.outer(spots.fast_px, spots.fast_px),
    )
    brighter = (spots.panel[:, None] == spots.panel) & (spots.photons[:, None] < spots.photons)
    reach = _RESOLVED_WIDTHS * np.add.outer(spots.sigma_long_px, spots.sigma_long_px)
    merged = brighter & (apart < reach) & (truth.sigmas >= FAINT_SIGMAS)
    alone: NDArray[np.bool_] = ~merged.any(axis=1)
    return alone
