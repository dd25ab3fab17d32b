"""``autosteer train pulses``: the networks that characterise pulses."""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autosteer.cli._frame_options import Device
from autosteer.cli._output import clear_errors, print_line

if TYPE_CHECKING:
    from autosteer.analysis.pulses.training.trainer import Progress

WEIGHTS_FILE, CARD_FILE, CONFIGURATION_FILE = (
    "weights.safetensors",
    "MODEL_CARD.md",
    "training.json",
)


def train_pulses(
    network: Annotated[
        str, typer.Option(help="What to train: dciphr-small, or dciphr (takes a GPU).")
    ] = "dciphr-small",
    out: Annotated[Path, typer.Option(help="Folder for weights, model card and state.")] = Path(
        "pulse-network"
    ),
    shots: Annotated[
        int | None, typer.Option(min=8, help="Shots of each network; default: as recommended.")
    ] = None,
    batch: Annotated[
        int | None, typer.Option(min=8, help="Shots of a step; default: as recommended.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the shots and of the networks.")] = 0,
    preset: Annotated[str, typer.Option(help="Preset of the simulated spectrometer.")] = "paper",
    precision: Annotated[
        str, typer.Option(help="Numbers in the products of a step: bfloat16 or float32.")
    ] = "bfloat16",
    judged_shots: Annotated[
        int, typer.Option(min=64, help="Fresh shots for calibration, and for the figures.")
    ] = 20_000,
    threads: Annotated[int, typer.Option(min=1, help="Threads of the processor.")] = 1,
    device: Device = "cpu",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the training whose state is in the folder.")
    ] = False,
) -> None:
    """Train the networks of an estimator of pulses on simulated shots.

    Interrupted with Ctrl-C, the training stops after the present step and can be resumed; killed,
    it goes on from the state that was written last, with the same result.
    """
    import torch

    torch.set_num_threads(threads)
    with clear_errors():
        from autosteer.analysis._devices import usable_device
        from autosteer.analysis.pulses.networks import n_parameters
        from autosteer.analysis.pulses.training.model_card import model_card
        from autosteer.analysis.pulses.training.trainer import Trainer
        from autosteer.analysis.pulses.weights import Weights
        from autosteer.cli._training_shots import SimulatedShots

        configuration, recipe = _configuration(
            network, shots, batch, seed=seed, preset=preset, precision=precision,
            judged_shots=judged_shots,
        )  # fmt: skip
        provenance = _provenance()
        source = SimulatedShots(preset, seed)
        stages = recipe.stages(source, configuration, usable_device(device))
        _make_folder(out)
        trainer = Trainer(stages, configuration, out)
        if resume:
            trainer.resume()
        else:
            trainer.check_new()
        path = out / CONFIGURATION_FILE
        path.write_text(configuration.model_dump_json(indent=1) + "\n", encoding="utf-8")
        begun = time.monotonic(), trainer.steps[0]
        with _progress(begun, configuration.batch) as report, _interrupted() as interrupted:
            done = trainer.run(report, interrupted)
        if not done:
            print_line(f"stopped; go on with the same options and --resume --out {out}")
            raise typer.Exit(130)
        print_line("calibrating and judging with fresh shots")
        weights, figures = recipe.finish(stages, source, configuration)
        about = {
            **provenance,
            "configuration": configuration.model_dump(),
            "learning_rates": {stage.name: stage.learning_rate for stage in stages},
            "figures": figures,
        }
        Weights(weights.architecture, weights.shape, weights.tensors, about).write(
            out / WEIGHTS_FILE
        )
        card = model_card(about, sum(n_parameters(stage.network) for stage in stages))
        (out / CARD_FILE).write_text(card, encoding="utf-8")
    print_line(f"wrote {out / WEIGHTS_FILE} and {out / CARD_FILE}")


def _configuration(
    network: str, shots: int | None, batch: int | None, **rest: Any
) -> tuple[Any, Any]:
    """Return configuration and recipe."""
    from pydantic import ValidationError

    from autosteer.analysis.pulses.training.configuration import TrainingConfiguration
    from autosteer.analysis.pulses.training.recipes import RECIPES
    from autosteer.contracts import AnalysisError

    if network not in RECIPES:
        raise AnalysisError(f"no network '{network}': there are {', '.join(RECIPES)}")
    recipe = RECIPES[network]
    try:
        configuration = TrainingConfiguration.model_validate({
            "network": network,
            "shots": shots or recipe.shots,
            "batch": batch or recipe.batch,
            **rest,
        })
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])).replace("_", "-")
        raise AnalysisError(f"--{where} {first['input']}: {first['msg']}") from error
    return configuration, recipe


def _make_folder(out: Path) -> None:
    """Make the folder of the results."""
    from autosteer.contracts import AnalysisError

    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AnalysisError(f"{out}: cannot be made ({error.strerror})") from error


def _provenance() -> dict[str, str]:
    """Return date, version and commit."""
    import subprocess
    from datetime import UTC, datetime

    import autosteer

    where = Path(autosteer.__file__).parent

    def git(*words: str) -> str:
        try:
            return subprocess.run(
                ["git", *words], cwd=where, capture_output=True, text=True, check=True
            ).stdout.strip()
        except (OSError, subprocess.CalledProcessError):
            return "unknown"

    commit = git("rev-parse", "HEAD")
    if git("status", "--porcelain", "--untracked-files=no", ".") not in {"", "unknown"}:
        commit += " with changes"
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "version": autosteer.__version__,
        "commit": commit,
    }


@contextlib.contextmanager
def _interrupted() -> Generator[Callable[[], bool]]:
    """Note the first Ctrl-C instead of stopping at once."""
    asked = False

    def note(*_: object) -> None:
        nonlocal asked
        asked = True

    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def _progress(begun: tuple[float, int], batch: int) -> Generator[Callable[[Progress], None]]:
    """Print a line for each validation, and in a terminal one that changes in between."""
    from rich.console import Console

    console = Console(stderr=True)
    with contextlib.ExitStack() as stack:
        status = stack.enter_context(console.status("")) if console.is_terminal else None

        def report(progress: Progress) -> None:
            spent_s = time.monotonic() - begun[0]
            a_second = (progress.all_done - begun[1]) / max(spent_s, 1e-9)
            left_s = (progress.all_steps - progress.all_done) / max(a_second, 1e-9)
            line = (
                f"{progress.stage}: step {progress.step} of {progress.n_steps}, loss "
                f"{progress.loss:.3f}, {a_second * batch:.0f} shots/s, {_duration(left_s)} left"
            )
            if progress.figures:
                figures = ", ".join(f"{name} {v:.4g}" for name, v in progress.figures.items())
                print_line(f"{line}; {figures}")
                sys.stdout.flush()
            elif status is not None:
                status.update(line)

        yield report


def _duration(seconds: float) -> str:
    """Return a duration as people say it."""
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
