"""Imports peers when they are wanted, keeps them quiet, and gives them their own random numbers."""

from __future__ import annotations

import contextlib
import logging
import random
import warnings
from collections.abc import Generator
from importlib import import_module
from typing import Any

import numpy as np

from autosteer.contracts import MissingExtraError


def peer_module(name: str) -> Any:
    """Import a module of a peer.

    Parameters
    ----------
    name : str
        Full name of the module.

    Returns
    -------
    module
        The module.

    Raises
    ------
    MissingExtraError
        If the package is not installed.
    """
    with quiet():
        try:
            return import_module(name)
        except ModuleNotFoundError as error:
            package = name.partition(".")[0]
            missing = (error.name or package).partition(".")[0]
            raise MissingExtraError(missing, "peers", f"a policy of '{package}'") from error


@contextlib.contextmanager
def quiet() -> Generator[None]:
    """Keep back a peer's warnings and its progress messages: neither is for our users."""
    before = logging.root.manager.disable
    # Peers set the levels of their loggers one by one, so that no single one of them governs.
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@contextlib.contextmanager
def seeded(seed: int) -> Generator[None]:
    """Give global random numbers of a seed, and put the old states back.

    Peers draw from the global generators of Python, NumPy and torch; an ask must depend on its
    seed alone, and must not disturb anybody else's draws.

    Parameters
    ----------
    seed : int
        The seed.
    """
    import torch

    python_state, numpy_state = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng():
            random.seed(seed)
            np.random.seed(seed % 2**32)
            torch.manual_seed(seed)
            yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
