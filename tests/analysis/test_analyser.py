"""The analysis as a stage: frames or spot lists in, tables out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from autosteer.analysis.analyser import FrameAnalyser, SpotListAnalyser, make_analyser
from autosteer.analysis.calibration import (
    WHOLE_DETECTOR,
    Calibration,
    GeometryCalibration,
    Quantity,
    Trust,
)
from autosteer.analysis.spot_positions import SpotPositions
from autosteer.contracts import AnalysisError, FrameError, check_schema, table_kind
from autosteer.contracts.analysis_sections import (
    Analysis,
    DetectorSection,
    FinderSection,
    IndexerSection,
)
from autosteer.physics import Detector
from tests.analysis.simulated_frames import add_spots, as_counts, blank_frames
from tests.analysis.simulated_spots import (
    LYSOZYME,
    WAVELENGTH,
    misorientation_deg,
    random_lattice,
    reflections,
    simulate_stills,
)

SECTION = DetectorSection(
    shape=(512, 512),
    pixel_size_um=300.0,
    distance_mm=120.0,
    beam_center_px=(255.5, 255.5),
    wavelength_angstrom=WAVELENGTH,
    saturation=16_000,
)


def analysis(**values: Any) -> Analysis:
    cell = (*LYSOZYME.lengths, *LYSOZYME.angles)
    defaults: dict[str, Any] = {
        "detector": SECTION,
        "indexer": IndexerSection(unit_cell=cell),
        "min_spots_hit": 10,
    }
    return Analysis(**{**defaults, **values})


def ids(n: int) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    return np.arange(100, 100 + 5 * n, 5, dtype=np.uint64), np.arange(n, dtype=np.int64)


def frames_of_crystals(n_frames: int, which: list[int]) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Frames of which some show a crystal, and its lattice."""
    rng = np.random.default_rng(0)
    detector = Detector.flat((512, 512), 0.3, 120.0, (255.5, 255.5))
    frames = blank_frames((n_frames, 1, 512, 512))
    lattices = np.full((n_frames, 3, 3), np.nan)
    for frame in which:
        lattices[frame] = random_lattice(LYSOZYME, rng)
        q = reflections(LYSOZYME, lattices[frame], rng)[:50]
        _, slow, fast = detector.project(q + np.array([0, 0, 1 / WAVELENGTH]))
        seen = np.isfinite(slow)
        places = np.stack([np.full(50, frame), np.zeros(50), slow, fast], axis=1)[seen]
        add_spots(frames, places, 200.0, sigma_px=0.7)
    return as_counts(frames, "uint16"), lattices


def test_frames_become_tables() -> None:
    frames, lattices = frames_of_crystals(5, [0, 2, 3])
    analyser = make_analyser(analysis(), "frames")
    assert isinstance(analyser, FrameAnalyser)
    tables = analyser.analyse(frames, *ids(5))
    assert set(tables) == {"indexing", "quality", "spots", "lattices"}
    for name, table in tables.items():
        check_schema(table_kind(name), table.schema)
    rows = tables["indexing"].to_pydict()
    assert rows["hit"] == rows["indexed"] == [True, False, True, True, False]
    assert rows["pulse_id"] == [100, 105, 110, 115, 120]
    assert all(n >= 35 for n in np.array(rows["n_indexed_spots"], dtype=object)[[0, 2, 3]])
    assert rows["a"][0] == pytest.approx(79.1, rel=0.02)
    found = tables["lattices"]
    assert found.column("pulse_id").to_pylist() == [100, 110, 115]
    vectors = np.stack([found.column(f"{v}_{x}").to_numpy() for v in "abc" for x in "xyz"], axis=1)
    angle = misorientation_deg(vectors.reshape(3, 3, 3), lattices[[0, 2, 3]], LYSOZYME)
    assert (angle < 0.3).all()
    # Blank frames may have a spot or two, which are in the table as well.
    assert tables["spots"].num_rows == sum(rows["n_spots"])
    quality = tables["quality"].to_pydict()
    assert quality["background_level"] == pytest.approx([60] * 5, abs=3)
    assert quality["saturated_fraction"] == [0.0] * 5


def test_a_frame_without_numbers_is_null_and_disturbs_nobody() -> None:
    frames, _ = frames_of_crystals(3, [0, 2])
    analyser = make_analyser(analysis(), "frames")
    expected = analyser.analyse(frames.astype(np.float32), *ids(3))["indexing"].to_pydict()
    spoiled = frames.astype(np.float32)
    spoiled[1] = np.nan
    tables = analyser.analyse(spoiled, *ids(3))
    rows = tables["indexing"].to_pydict()
    for name in ("n_spots", "hit", "indexed", "n_lattices", "n_indexed_spots"):
        assert rows[name][1] is None
        assert rows[name][0] == expected[name][0]
        assert rows[name][2] == expected[name][2]
    assert np.isnan(tables["quality"].to_pydict()["background_level"][1])


def test_few_spots_are_no_hit_and_are_not_indexed() -> None:
    frames, _ = frames_of_crystals(2, [0, 1])
    analyser = make_analyser(analysis(min_spots_hit=400), "frames")
    rows = analyser.analyse(frames, *ids(2))["indexing"].to_pydict()
    assert rows["hit"] == rows["indexed"] == [False, False]
    assert min(rows["n_spots"]) > 30
    assert np.isnan(rows["resolution_angstrom"]).all()


def test_options_of_the_file_reach_the_finder() -> None:
    frames, _ = frames_of_crystals(1, [0])
    analyser = make_analyser(analysis(finder=FinderSection(max_spots=7)), "frames")
    assert analyser.analyse(frames, *ids(1))["spots"].num_rows == 7
    section = SECTION.model_copy(update={"modules": (2, 1), "gap_px": (256, 0)})
    masked = make_analyser(analysis(detector=section), "frames").analyse(frames, *ids(1))
    slow = masked["spots"].column("slow_px").to_numpy()
    assert ((slow < 128) | (slow > 383)).all()


def left_and_right(path: Path) -> str:
    """Write the detector as two halves of a slab, with no word on the wavelength."""
    lines = ["clen = 120 mm", "res = 3333.3333333333335", "max_adu = 16000"]
    for index in range(2):
        lines += [
            f"p{index}/min_ss = 0",
            f"p{index}/max_ss = 511",
            f"p{index}/min_fs = {256 * index}",
            f"p{index}/max_fs = {256 * index + 255}",
            f"p{index}/fs = x",
            f"p{index}/ss = y",
            f"p{index}/corner_x = {256 * index - 256}",
            f"p{index}/corner_y = -256",
        ]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def test_slabs_and_panels_of_a_geometry_file_are_analysed_alike(tmp_path: Path) -> None:
    frames, _ = frames_of_crystals(3, [0, 2])
    values = SECTION.model_dump() | {"geometry_path": left_and_right(tmp_path / "a.geom")}
    slab = make_analyser(analysis(detector=DetectorSection(**values)), "frames")
    slab.warm_up(2)
    cut = slab.analyse(frames, *ids(3))
    halves = np.concatenate([frames[..., :256], frames[..., 256:]], axis=1)
    stacked = DetectorSection(**(values | {"shape": (512, 256)}))
    tables = make_analyser(analysis(detector=stacked), "frames").analyse(halves, *ids(3))
    for name, table in tables.items():
        np.testing.assert_equal(table.to_pydict(), cut[name].to_pydict())
    assert set(cut["spots"].column("panel").to_pylist()) == {0, 1}
    assert cut["indexing"].column("indexed").to_pylist() == [True, False, True]
    whole = make_analyser(analysis(), "frames").analyse(frames, *ids(3))["indexing"]
    assert cut["indexing"].column("a").to_pylist()[0] == pytest.approx(
        whole.column("a").to_pylist()[0], rel=1e-3
    )
    with pytest.raises(FrameError, match=r"\(1, 512, 256\) \(panels, slow, fast\), the detector"):
        slab.analyse(frames[..., :256], *ids(3))


def test_frames_are_analysed_by_the_geometry_of_their_pulse() -> None:
    frames, _ = frames_of_crystals(1, [0])
    frames = np.repeat(frames, 4, axis=0)
    wrong = SECTION.model_copy(update={"beam_center_px": (256.5, 255.5)})
    analyser = make_analyser(analysis(detector=wrong), "frames")
    right = make_analyser(analysis(), "frames")
    assert isinstance(analyser, FrameAnalyser)
    assert isinstance(right, FrameAnalyser)
    shift = Calibration(Quantity.SHIFT_Y, WHOLE_DETECTOR, 0.3, 0.01, 40, Trust.TRUSTED, 110)
    found = GeometryCalibration(right.history.first, (shift,), 40)
    analyser.history.publish(found, newest_pulse=99)
    tables = analyser.analyse(frames, *ids(4))
    ids_used = tables["quality"].column("geometry_id").to_pylist()
    assert ids_used == [None, None, found.id, found.id]
    q = tables["spots"].column("q_y").to_numpy().reshape(4, -1)
    expected = right.analyse(frames, *ids(4))["spots"].column("q_y").to_numpy().reshape(4, -1)
    np.testing.assert_array_equal(q[2:], expected[2:])
    assert (expected[:2] - q[:2] > 0.5 * 0.3 / 120 / WAVELENGTH).all()


def test_hits_are_told_with_where_their_spots_are() -> None:
    frames, _ = frames_of_crystals(3, [0, 2])
    analyser = make_analyser(analysis(), "frames")
    assert isinstance(analyser, FrameAnalyser)
    told: list[tuple[SpotPositions, int]] = []
    analyser.on_hits = lambda spots, newest: told.append((spots, newest))
    tables = analyser.analyse(frames, *ids(3))
    [(spots, newest)] = told
    assert newest == 110
    n_spots = tables["indexing"].column("n_spots").to_pylist()
    assert spots.n_spots.tolist() == [n_spots[0], n_spots[2]]
    assert spots.wavelength_angstrom.tolist() == [WAVELENGTH] * 2


def test_hot_pixels_are_learned_of_and_left_out() -> None:
    section = SECTION.model_copy(update={"shape": (128, 128)})
    finder = FinderSection(learn_pixels=True)
    analyser = make_analyser(analysis(detector=section, finder=finder), "frames")
    analyser.warm_up(4)
    n_spots = []
    for seed in range(8):
        frames = blank_frames((16, 1, 128, 128), seed=seed)
        # Three together, for a hot pixel alone is seen through at once.
        frames[:, 0, [60, 60, 61], [70, 71, 71]] += 900
        tables = analyser.analyse(as_counts(frames, "uint16"), *ids(16))
        n_spots.append(sum(tables["indexing"].to_pydict()["n_spots"]))
    assert min(n_spots[:7]) >= 16
    assert n_spots[7] <= 2


def test_another_device_searches_with_the_other_finder() -> None:
    section = FinderSection(device="abacus")
    with pytest.raises(AnalysisError, match="device 'abacus' cannot be used"):
        make_analyser(analysis(finder=section), "frames")


def test_spot_lists_become_tables() -> None:
    stills = simulate_stills(LYSOZYME, 4, 40, outliers=0.25, seed=1)
    stills.q[1, 6:] = np.nan
    stills.q[3] = np.nan
    analyser = make_analyser(analysis(detector=None), "spot_lists")
    assert isinstance(analyser, SpotListAnalyser)
    tables = analyser.analyse(stills.q, *ids(4))
    assert set(tables) == {"indexing", "quality", "spots", "lattices"}
    rows = tables["indexing"].to_pydict()
    assert rows["n_spots"] == [40, 6, 40, 0]
    assert rows["hit"] == rows["indexed"] == [True, False, True, False]
    assert tables["spots"].num_rows == 86
    empty = analyser.analyse(stills.q[:0], *ids(0))
    assert [table.num_rows for table in empty.values()] == [0, 0, 0, 0]


def test_what_cannot_be_analysed_is_said() -> None:
    with pytest.raises(AnalysisError, match=r"analysis\.detector: needed"):
        make_analyser(analysis(detector=None), "frames")
    flat = IndexerSection(unit_cell=(79, 79, 38, 60, 60, 130))
    with pytest.raises(AnalysisError, match=r"analysis\.indexer: .* span no volume"):
        make_analyser(analysis(indexer=flat), "spot_lists")
    frames = make_analyser(analysis(), "frames")
    with pytest.raises(FrameError, match=r"detector \(1, 512, 512\): correct"):
        frames.analyse(np.zeros((2, 1, 512, 511), np.uint16), *ids(2))
    with pytest.raises(FrameError, match="2 frames came with 3 pulse ids"):
        frames.analyse(np.zeros((2, 1, 512, 512), np.uint16), *ids(3))
    lists = make_analyser(analysis(), "spot_lists")
    with pytest.raises(FrameError, match=r"it must be \(n, n_spots, 3\)"):
        lists.analyse(np.zeros((2, 5, 4), np.float32), *ids(2))


@pytest.mark.parametrize("kind", ["frames", "spot_lists"])
def test_warming_up_goes_through_the_indexer(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    analyser = make_analyser(analysis(), kind)
    seen: list[int] = []
    index = analyser._indexer.index

    def note(q: Any) -> Any:
        seen.append(int(np.isfinite(q).all(axis=2).sum(axis=1).min()))
        return index(q)

    monkeypatch.setattr(analyser._indexer, "index", note)
    analyser.warm_up(3)
    assert seen
    assert seen[0] >= 20
