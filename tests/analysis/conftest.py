"""Fixtures of the analysis tests: one thread, and real data where there are any."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Leave the other cores alone."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def data_directory() -> Path:
    """Folder with real data, named by an environment variable."""
    name = os.environ.get("AUTOSTEER_DATA")
    if not name:
        pytest.skip("AUTOSTEER_DATA does not name a folder with real data")
    return Path(name)
