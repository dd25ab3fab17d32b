"""Value objects of which each array has a row for each item."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
import torch


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Arrays, or tensors, of equal length; a base class, whose heirs name them."""

    def select(self, index: Any) -> Self:
        """Keep some rows, in the order given.

        Parameters
        ----------
        index : ndarray or Tensor, of int or bool
            Which ones.

        Returns
        -------
        Rows
            These, of the same class.
        """
        return type(self)(*(getattr(self, field.name)[index] for field in fields(self)))

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """Put rows behind each other.

        Parameters
        ----------
        parts : sequence of Rows
            At least one.

        Returns
        -------
        Rows
            All rows, of the same class.
        """
        columns = ([getattr(part, field.name) for part in parts] for field in fields(cls))
        return cls(
            *(
                torch.cat(column) if isinstance(column[0], torch.Tensor) else np.concatenate(column)
                for column in columns
            )
        )
