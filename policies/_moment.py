"""Context and time as inputs of a model: what they were at each point, and what they are now."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from autosteer.policies._ledger import Table

Float = NDArray[np.float64]


def inputs_besides_knobs(
    table: Table, context: Float, drift_s: float | None
) -> tuple[Float, Float]:
    """Return context and time in units of the model.

    Parameters
    ----------
    table : Table
        What was measured, n points.
    context : ndarray of float64, shape (n_context,)
        Present values of the context; NaN where none is known.
    drift_s : float, optional
        Unit of time [s]; None where time is no input.

    Returns
    -------
    then : ndarray of float64, shape (n, n_context) or (n, n_context + 1)
        At each point; a context that is not known is taken to be as now.
    now : ndarray of float64, shape (n_context,) or (n_context + 1,)
        At present, that is, at the newest point.
    """
    known = np.where(np.isfinite(table.context), table.context, context)
    known, present = np.nan_to_num(known), np.nan_to_num(context)
    low, high = known.min(axis=0, initial=np.inf), known.max(axis=0, initial=-np.inf)
    spread = np.where(high > low, high - low, 1.0)
    middle = np.where(np.isfinite(low + high), (low + high) / 2, 0.0)
    then = (known - middle) / spread + 0.5
    now = (present - middle) / spread + 0.5
    if drift_s is None:
        return then, now
    newest_s = float(np.max(table.t_s, where=np.isfinite(table.t_s), initial=-np.inf))
    # What was measured nobody knows when counts as new.
    age = np.where(np.isfinite(table.t_s), table.t_s - newest_s, 0.0) / drift_s
    return np.concatenate([then, age[:, None]], axis=1), np.append(now, 0.0)
