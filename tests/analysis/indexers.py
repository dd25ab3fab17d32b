"""Makers of indexers for processes of the tests: apart from `work`, which loads fast."""

from __future__ import annotations

import os

from autosteer.analysis.indexing import Indexer
from autosteer.sims.crystals import LYSOZYME


def make_lysozyme_indexer() -> Indexer:
    return Indexer(LYSOZYME)


def make_dying_indexer() -> Indexer:
    os._exit(1)
