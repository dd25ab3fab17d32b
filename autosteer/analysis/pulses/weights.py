"""Weights of networks, with what is needed to use them and to know where they come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from autosteer.analysis.pulses._tensor_files import read_tensors, write_tensors
from autosteer.contracts import AnalysisError

_KIND, _VERSION = "autosteer pulse weights", 1


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """Weights of the networks of an estimator.

    Parameters
    ----------
    architecture : str
        Name of the estimator.
    shape : (int, int)
        Channels and bins of the sinograms that it takes.
    tensors : mapping of str to Tensor
        Weights, normalisation and calibration by name.
    about : mapping
        Configuration, seed, date, commit and figures, as of JSON.
    source : str
        The file, for messages.
    """

    architecture: str
    shape: tuple[int, int]
    tensors: Mapping[str, Tensor]
    about: Mapping[str, Any]
    source: str = "weights"

    def write(self, path: Path) -> None:
        """Write them to a file.

        Parameters
        ----------
        path : Path
            Safetensors file.

        Raises
        ------
        AnalysisError
            If it cannot be written.
        """
        about = {"architecture": self.architecture, "shape": self.shape, **self.about}
        write_tensors(path, self.tensors, _KIND, _VERSION, about)

    @classmethod
    def read(cls, path: Path, architecture: str) -> Weights:
        """Read them from a file.

        Parameters
        ----------
        path : Path
            Safetensors file.
        architecture : str
            Name of the estimator that they have to be for.

        Returns
        -------
        Weights
            The weights.

        Raises
        ------
        AnalysisError
            If there is no such file, or it holds anything else.
        """
        remedy = f"make weights with 'autosteer train pulses --network {architecture}'"
        tensors, about = read_tensors(path, _KIND, _VERSION, remedy)
        found = about.pop("architecture")
        if found != architecture:
            raise AnalysisError(
                f"{path}: holds weights of '{found}', not of '{architecture}': use estimator "
                f"'{found}', or {remedy}"
            )
        n_channels, n_bins = about.pop("shape")
        return cls(architecture, (n_channels, n_bins), tensors, about, str(path))

    def under(self, prefix: str) -> dict[str, Tensor]:
        """Return the tensors of one part.

        Parameters
        ----------
        prefix : str
            Its name.

        Returns
        -------
        dict of str to Tensor
            Tensors by their names in that part.
        """
        start = prefix + "."
        return {
            name.removeprefix(start): value
            for name, value in self.tensors.items()
            if name.startswith(start)
        }

    def tensor(self, name: str) -> Tensor:
        """Return one tensor.

        Parameters
        ----------
        name : str
            Its name.

        Returns
        -------
        Tensor
            The tensor.

        Raises
        ------
        AnalysisError
            If there is none of that name.
        """
        try:
            return self.tensors[name]
        except KeyError:
            raise AnalysisError(
                f"{self.source}: lacks '{name}', as it was made with another version; train again "
                f"with 'autosteer train pulses --network {self.architecture}'"
            ) from None

    def load(self, part: str, network: nn.Module) -> None:
        """Give a network its weights.

        Parameters
        ----------
        part : str
            Name of the network.
        network : torch.nn.Module
            The network.

        Raises
        ------
        AnalysisError
            If they do not fit.
        """
        try:
            network.load_state_dict(self.under(part))
        except RuntimeError as error:
            first = str(error).splitlines()[-1].strip()
            raise AnalysisError(
                f"{self.source}: weights of '{part}' do not fit ({first}): they were made with "
                f"another version; train again with 'autosteer train pulses --network "
                f"{self.architecture}'"
            ) from error
