"""What a training is asked for, as it is recorded with its weights."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from autosteer.contracts import AnalysisError


class TrainingConfiguration(BaseModel):
    """A training; with the same configuration, versions and machine it gives the same weights."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    network: Literal["dciphr-small", "dciphr"] = Field(description="What is trained")
    preset: str = Field(default="paper", description="Preset of the simulated spectrometer")
    seed: int = Field(default=0, ge=0, lt=1 << 31, description="Of the shots and of the networks")
    shots: int = Field(ge=8, description="Shots that each network sees, none of them twice")
    batch: int = Field(ge=8, multiple_of=8, description="Shots of a step")
    weight_decay: float = Field(default=0.01, ge=0, description="As of AdamW")
    averaging: float = Field(
        default=0.999, ge=0, lt=1, description="Share of the averaged weights kept at each step"
    )
    precision: Literal["bfloat16", "float32"] = Field(
        default="bfloat16", description="Numbers in the products of a training step"
    )
    judged_shots: int = Field(
        default=20_000, ge=64, description="Fresh shots for calibration, and for the figures"
    )

    @property
    def n_steps(self) -> int:
        """Steps of the training of each network."""
        return max(self.shots // self.batch, 1)

    def check_same(self, other: str, where: str) -> None:
        """Check that a recorded configuration is this one.

        Parameters
        ----------
        other : str
            The recorded one, as JSON.
        where : str
            Where it is recorded, for the message.

        Raises
        ------
        AnalysisError
            If it is not, or cannot be read.
        """
        try:
            recorded = type(self).model_validate_json(other)
        except ValidationError as error:
            raise AnalysisError(
                f"{where}: its configuration was written by another version: train without "
                "--resume in another folder"
            ) from error
        differ = [
            f"{name} {getattr(recorded, name)!r}, not {value!r}"
            for name, value in self
            if getattr(recorded, name) != value
        ]
        if differ:
            raise AnalysisError(
                f"{where}: belongs to a training with {'; '.join(differ)}: give the same options, "
                "or train without --resume"
            )
