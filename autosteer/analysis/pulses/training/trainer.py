"""A training that can be stopped and goes on to the same result: stages, steps, and their state."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from autosteer.analysis.pulses._tensor_files import read_tensors, write_tensors
from autosteer.analysis.pulses.training.configuration import TrainingConfiguration
from autosteer.analysis.pulses.training.shots import Batch
from autosteer.contracts import AnalysisError

STATE_FILE = "training.safetensors"
_FORMAT, _VERSION = "autosteer pulse training", 1
_WARM_UP = 0.08
_LARGEST_GRADIENT = 2.0
_BETAS = (0.9, 0.99)


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """One network that is trained.

    Parameters
    ----------
    name : str
        Its name.
    network : torch.nn.Module
        The network; when the stage is done, it has the averaged weights.
    n_steps : int
        Steps.
    learning_rate : float
        Largest learning rate, after the warm-up.
    weight_decay : float
        Decay of the weights, as of AdamW.
    averaging : float
        Share of the average that stays at each step, 0 to 1.
    batch : callable
        Gives the batch of a step.
    loss : callable
        Gives the loss of a batch, to be differentiated.
    validate : callable
        Gives figures of a network of the same kind by name.
    """

    name: str
    network: nn.Module
    n_steps: int
    learning_rate: float
    weight_decay: float
    averaging: float
    batch: Callable[[int], Batch]
    loss: Callable[[Batch], Tensor]
    validate: Callable[[nn.Module], Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a training has come.

    Parameters
    ----------
    stage : str
        Name of the stage.
    step, n_steps : int
        Steps done in this stage, and all of them.
    all_done, all_steps : int
        The same over all stages.
    loss : float
        Mean loss since the last report.
    figures : mapping of str to float
        Validation figures; empty between validations.
    """

    stage: str
    step: int
    n_steps: int
    all_done: int
    all_steps: int
    loss: float
    figures: Mapping[str, float]


class Trainer:
    """Trains networks one after the other.

    Parameters
    ----------
    stages : sequence of Stage
        What is trained.
    configuration : TrainingConfiguration
        What the training was asked for; a state of another configuration is refused.
    folder : Path
        Where the state is kept, `STATE_FILE`.
    report_every, validate_every, save_every : int
        Steps between reports, validations, and writings of the state.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        configuration: TrainingConfiguration,
        folder: Path,
        *,
        report_every: int = 20,
        validate_every: int = 1000,
        save_every: int = 500,
    ) -> None:
        self._stages = list(stages)
        self._configuration = configuration
        self._path = folder / STATE_FILE
        self._every = report_every, validate_every, save_every
        self._number = self._step = 0
        self._begin()

    @property
    def steps(self) -> tuple[int, int]:
        """Steps done, and all steps, over all stages."""
        before = sum(stage.n_steps for stage in self._stages[: self._number])
        return before + self._step, sum(stage.n_steps for stage in self._stages)

    def run(
        self,
        report: Callable[[Progress], None] = lambda _: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> bool:
        """Train on to the end, or until asked to stop.

        Parameters
        ----------
        report : callable, optional
            Told of the progress.
        should_stop : callable, optional
            Asked after each step; if it says so, the state is written and the training stops.

        Returns
        -------
        bool
            Whether all stages are done.
        """
        report_every, validate_every, save_every = self._every
        losses: list[float] = []
        while self._number < len(self._stages):
            stage = self._stages[self._number]
            while self._step < stage.n_steps:
                losses.append(self._train_step(stage))
                validates = self._step % validate_every == 0 or self._step == stage.n_steps
                if validates or self._step % report_every == 0:
                    figures = self._validate(stage) if validates else {}
                    loss = math.fsum(losses) / len(losses)
                    report(
                        Progress(stage.name, self._step, stage.n_steps, *self.steps, loss, figures)
                    )
                    losses.clear()
                if should_stop():
                    self.save()
                    return False
                if self._step % save_every == 0:
                    self.save()
            stage.network.load_state_dict(self._average.state_dict())
            self._number, self._step = self._number + 1, 0
            self._begin()
            self.save()
        return True

    def save(self) -> None:
        """Write the state, so that a training that is killed meanwhile still has the one before.

        Raises
        ------
        AnalysisError
            If it cannot be written.
        """
        tensors = {
            f"{stage.name}.network.{name}": value
            for stage in self._stages
            for name, value in stage.network.state_dict().items()
        }
        if self._number < len(self._stages):
            for name, value in self._average.state_dict().items():
                tensors[f"average.{name}"] = value
            for place, moments in self._optimizer.state_dict()["state"].items():
                for name, value in moments.items():
                    tensors[f"optimizer.{place}.{name}"] = value
        about = {
            "configuration": self._configuration.model_dump_json(),
            "stage": self._number,
            "step": self._step,
        }
        write_tensors(self._path, tensors, _FORMAT, _VERSION, about)

    def check_new(self) -> None:
        """Check that there is no state that would be lost.

        Raises
        ------
        AnalysisError
            If there is one.
        """
        if self._path.exists():
            raise AnalysisError(
                f"{self._path}: a training has left its state there: go on with --resume, or take "
                "another folder"
            )

    def resume(self) -> None:
        """Go back to the state that was written last.

        Raises
        ------
        AnalysisError
            If there is none, or it is that of another training.
        """
        tensors, about = read_tensors(
            self._path, _FORMAT, _VERSION, "start the training again without --resume"
        )
        self._configuration.check_same(about["configuration"], str(self._path))
        try:
            self._restore(tensors, int(about["stage"]), int(about["step"]))
        except (RuntimeError, KeyError, ValueError) as error:
            raise AnalysisError(
                f"{self._path}: does not fit ({str(error).splitlines()[-1].strip()}), it was "
                "written by another version: train without --resume in another folder"
            ) from error

    def _restore(self, tensors: Mapping[str, Tensor], number: int, step: int) -> None:
        """Take over a state."""
        for stage in self._stages:
            stage.network.load_state_dict(_under(tensors, f"{stage.name}.network."))
        self._number, self._step = number, step
        self._begin()
        if self._number < len(self._stages):
            self._average.load_state_dict(_under(tensors, "average."))
            state = self._optimizer.state_dict()
            state["state"] = {}
            for name, value in _under(tensors, "optimizer.").items():
                place, key = name.split(".", 1)
                state["state"].setdefault(int(place), {})[key] = value
            self._optimizer.load_state_dict(state)

    def _begin(self) -> None:
        """Make average and optimiser of the present stage."""
        for done in self._stages[: self._number]:
            done.network.eval()
        if self._number >= len(self._stages):
            return
        stage = self._stages[self._number]
        self._average = copy.deepcopy(stage.network).eval()
        self._optimizer = torch.optim.AdamW(
            stage.network.parameters(),
            lr=stage.learning_rate,
            weight_decay=stage.weight_decay,
            betas=_BETAS,
        )

    def _train_step(self, stage: Stage) -> float:
        """Do one step, which depends on the state and its number alone."""
        torch.manual_seed((self._configuration.seed << 32) + self.steps[0])
        for group in self._optimizer.param_groups:
            group["lr"] = stage.learning_rate * one_cycle(self._step, stage.n_steps)
        stage.network.train()
        loss = stage.loss(stage.batch(self._step))
        value = float(loss.detach())
        if not math.isfinite(value):
            raise AnalysisError(
                f"{stage.name}: the loss is {value} at step {self._step}, nothing more can be "
                "learned: train again with --precision float32 or another --seed"
            )
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(stage.network.parameters(), _LARGEST_GRADIENT)
        self._optimizer.step()
        self._step += 1
        # Early weights are soon forgotten.
        kept = min(stage.averaging, self._step / (self._step + 10))
        with torch.no_grad():
            new = stage.network.state_dict()
            for name, mean in self._average.state_dict().items():
                if mean.is_floating_point():
                    mean.lerp_(new[name], 1 - kept)
                else:
                    mean.copy_(new[name])
        return value

    def _validate(self, stage: Stage) -> Mapping[str, float]:
        self._average.eval()
        with torch.no_grad():
            return stage.validate(self._average)


def one_cycle(step: int, n_steps: int) -> float:
    """Return the learning rate over its largest: up, then down along a cosine to zero.

    Parameters
    ----------
    step, n_steps : int
        The step, and all of them.

    Returns
    -------
    float
        A factor of 0 to 1.

    Examples
    --------
    >>> [round(one_cycle(step, 100), 2) for step in (0, 7, 53, 99)]
    [0.12, 1.0, 0.5, 0.0]
    """
    done = (step + 1) / n_steps
    if done < _WARM_UP:
        return done / _WARM_UP
    return 0.5 * (1 + math.cos(math.pi * (done - _WARM_UP) / (1 - _WARM_UP)))


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names start so, without that."""
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }
