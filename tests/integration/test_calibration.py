"""A run that starts with a wrong geometry finds the right one, and later frames use it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from autosteer.stream import read_segment, segments
from tests.integration.runs import Run

PIXEL_MM = 0.1
ERROR_PX = (2.0, -3.0)


def recorded(run: Run, kind: str) -> pa.Table:
    """Read a table of the record."""
    return pa.Table.from_batches([
        batch
        for path in segments(run.directory / "tables")
        if path.parent.name == kind
        for _, batch in read_segment(path)
    ])


@pytest.mark.slow
@pytest.mark.parametrize("calibrant", [False, True])
def test_a_detector_that_is_off_is_found_and_used_from_its_pulse_on(
    tmp_path: Path, calibrant: bool
) -> None:
    distance_error_mm = 0.3 if calibrant else 0.0
    run = Run(
        tmp_path,
        "--mode",
        "observe",
        "--duration",
        "90",
        source={"kind": "frames", "rate_hz": 25},
        analysis={
            "detector": {
                "shape": [768, 768],
                "pixel_size_um": 1000 * PIXEL_MM,
                "distance_mm": 80,
                "beam_center_px": [383.5, 383.5],
                "wavelength_angstrom": 1.3,
                "saturation": 60000,
            },
            "indexer": {"unit_cell": [79.1, 79.1, 37.9, 90, 90, 90]},
            "min_spots_hit": 10,
            "calibration": {"every_frames": 40, "calibrant": calibrant},
        },
        # The jet is where the motors start, and most shots hit.
        simulation__ioc__motors__X__start=0.022,
        simulation__ioc__motors__Y__start=-0.06,
        simulation__beamline__crystals={"mean_in_beam": 1.0},
        simulation__beamline__detector={
            "beam_center_error_px": ERROR_PX,
            "distance_error_mm": distance_error_mm,
            "bank_frames": 8,
        },
    )
    try:
        run.wait_for("geometry calibration, trusted")
        # A calibration is valid a second after it is found.
        lines = run.text.count("   shots ")
        run.wait_for(lambda: run.text.count("   shots ") >= lines + 2)
        run.interrupt()
        assert run.finish() == 0, run.text
    finally:
        run.end()
    found = recorded(run, "calibration").to_pylist()
    first = [row for row in found if row["geometry_id"] == found[0]["geometry_id"]]
    shifts = {row["quantity"]: row for row in first if row["quantity"] <= 2 and row["panel"] == -1}
    # The detector is where the center is not; without a calibrant its distance is left alone.
    assert set(shifts) == ({0, 1, 2} if calibrant else {0, 1})
    if calibrant:
        assert shifts[2]["trust"] == 2
        assert shifts[2]["value"] == pytest.approx(distance_error_mm, abs=0.03)
        assert shifts[2]["sigma"] < 0.02
    for row, error_px in zip((shifts[1], shifts[0]), ERROR_PX, strict=True):
        assert row["trust"] == 2
        assert row["value"] == pytest.approx(-error_px * PIXEL_MM, abs=0.1 * PIXEL_MM)
        assert row["sigma"] < 0.1 * PIXEL_MM
    quality = recorded(run, "quality")
    indexing = recorded(run, "indexing")
    pulses = quality.column("pulse_id").to_numpy()
    valid_from = first[0]["pulse_id"]
    before, after = pulses < valid_from, pulses >= valid_from
    used = quality.column("geometry_id").to_pylist()
    assert {one for one, early in zip(used, before, strict=True) if early} == {None}
    stated = {row["geometry_id"]: row["pulse_id"] for row in found if row["trust"] == 2}
    assert all(stated[one] <= pulse for one, pulse in zip(used, pulses, strict=True) if one)
    assert all(one is not None for one, late in zip(used, after, strict=True) if late)
    assert used[int(np.flatnonzero(after)[0])] == first[0]["geometry_id"]
    hit = indexing.column("hit").to_numpy(zero_copy_only=False)
    indexed = indexing.column("indexed").to_numpy(zero_copy_only=False)
    assert np.array_equal(indexing.column("pulse_id").to_numpy(), pulses)
    assert indexed[hit & before].mean() < 0.5
    assert indexed[hit & after].mean() > 0.9
    rmsd = quality.column("rmsd").to_numpy()
    assert np.nanmedian(rmsd[indexed & after]) < 0.001
    assert "worker-0: geometry calibration, trusted, from" in run.text
