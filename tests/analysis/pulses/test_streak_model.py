"""The likelihood of lines: its derivatives, and agreement with the law that simulation uses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from autosteer.analysis.pulses._fit import refine
from autosteer.analysis.pulses._streak_model import StreakModel, Streaks
from autosteer.analysis.pulses.calibration import PulseCalibration, line_moments
from autosteer.contracts import AnalysisError

CPU = torch.device("cpu")


def calibration(**changes: object) -> PulseCalibration:
    bins = np.arange(-3.5, 3.75, 0.25)
    line = np.where(np.abs(bins) < 3, 1 + np.cos(np.pi * bins / 3), 0)
    columns: dict[str, object] = {
        "source": "a test",
        "n_shots": 1,
        "n_channels": 16,
        "n_bins": 512,
        "line_bins": tuple(bins.tolist()),
        "line": tuple((line / line.sum() * 4).tolist()),
        "efficiencies": (1.0,) * 15 + (0.6,),
        "center_bins": 255.0,
        "center_spread_bins": 5.0,
        "kick_bins": 128.0,
        "kick_spread_bins": 32.0,
        "line_electrons": 6.0,
        "background": 0.01,
    }
    return PulseCalibration(**{**columns, **changes})  # type: ignore[arg-type]


def lines() -> Streaks:
    def tensor(values: object) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.float64)

    return Streaks(
        phase=tensor([[0.4, 2.9], [5.1, 5.4]]),
        center=tensor([[251.3, 258.1], [255.2, 254.0]]),
        electrons=tensor([
            [[6.0, 1.0, -2.0], [4.0, 0.0, 0.5]],
            [[9.0, 3.0, 3.0], [3.0, -1.0, 0.2]],
        ]),
        kick=tensor([120.0, 300.0]),
        background=tensor([0.02, 0.01]),
    )


def counts(streaks: Streaks, seed: int = 0) -> torch.Tensor:
    model = StreakModel(calibration(), CPU)
    return torch.poisson(model.expected(streaks), torch.Generator().manual_seed(seed))


def test_the_gradient_is_that_of_finite_differences() -> None:
    model, streaks = StreakModel(calibration(), CPU), lines()
    seen = counts(streaks)
    # Not at the maximum, where a gradient of zero would prove little.
    streaks = streaks.moved(torch.full((2, 12), 0.01, dtype=torch.float64))
    found = model.likelihood(seen, streaks)
    step = 1e-6
    for number in range(12):
        change = torch.zeros((2, 12), dtype=torch.float64)
        change[:, number] = step
        more, less = (
            model.likelihood(seen, streaks.moved(sign * change)).value for sign in (1, -1)
        )
        slope = (more - less) / (2 * step)
        # Lines are tabulated, and their slope between two points is that of the table.
        np.testing.assert_allclose(found.gradient[:, number], slope, rtol=0.1, atol=3.0)


def test_the_value_is_that_of_all_bins() -> None:
    model, streaks = StreakModel(calibration(), CPU), lines()
    seen = counts(streaks)
    expected = model.expected(streaks)
    rate = expected / model.efficiency[:, None]
    plain = (seen * torch.log(rate) - expected).sum(dim=(1, 2))
    np.testing.assert_allclose(model.likelihood(seen, streaks).value, plain, rtol=1e-9)


def test_information_is_the_mean_square_of_the_gradient() -> None:
    model, streaks = StreakModel(calibration(), CPU), lines()
    many = streaks.select(torch.zeros(4000, dtype=torch.long))
    found = model.likelihood(counts(many, seed=1), many)
    square = (found.gradient[:, :, None] * found.gradient[:, None, :]).mean(dim=0)
    information = found.information[0]
    scale = information.diagonal().rsqrt()
    np.testing.assert_allclose(
        square * scale[:, None] * scale, information * scale[:, None] * scale, atol=0.08
    )
    assert float(found.surprise.std()) == pytest.approx(1, abs=0.1)
    assert float(found.surprise.mean()) == pytest.approx(0, abs=0.1)


def test_refinement_finds_the_maximum() -> None:
    model, streaks = StreakModel(calibration(), CPU), lines()
    seen = counts(streaks, seed=2)
    off = torch.tensor([0.005, -0.004, 0.8, -0.7, 1.0, 0.5, 0, 0.5, 0.3, 0, 1.2, 0.01])
    start = streaks.moved(off.double().expand(2, 12))
    found, best = refine(model, seen, start)
    assert (best.value >= model.likelihood(seen, streaks).value).all()
    sigma = best.information.inverse().diagonal(dim1=1, dim2=2).sqrt()[:, :2]
    assert ((found.phase - streaks.phase).abs() < 4 * sigma).all()
    assert (best.gradient[:, :4].abs() * sigma[:, :1] < 0.3).all()


def test_a_calibration_that_does_not_agree_is_an_error() -> None:
    mean, sd = line_moments(calibration())
    assert mean == pytest.approx(0, abs=1e-9)
    assert sd == pytest.approx(1.085, abs=0.01)
    assert calibration().line_reach_bins == 3.0
    with pytest.raises(ValueError, match="efficiencies has 3 values for 16 channels"):
        calibration(efficiencies=(1.0, 1.0, 1.0))
    with pytest.raises(ValueError, match="line has 2 values at 29 distances"):
        calibration(line=(0.1, 0.2))
    with pytest.raises(ValueError, match="line_bins must increase"):
        calibration(line_bins=tuple(range(29, 0, -1)))


def test_files_of_calibrations(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    calibration().write(path)
    assert PulseCalibration.read(path) == calibration()
    with pytest.raises(AnalysisError, match=r"cannot be written \(No such file or directory\)"):
        calibration().write(tmp_path / "no" / "calibration.json")
    path.write_text(path.read_text()[:200])
    with pytest.raises(AnalysisError, match=r"calibration\.json: no pulse calibration, the file: "):
        PulseCalibration.read(path)
    with pytest.raises(AnalysisError, match="No such file"):
        PulseCalibration.read(path.with_name("other.json"))
