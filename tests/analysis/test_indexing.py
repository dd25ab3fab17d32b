"""Indexing of simulated spot lists."""

from __future__ import annotations

import numpy as np
import pytest

from autosteer.analysis.indexing import Indexer, IndexingResult, Reason
from autosteer.contracts import AnalysisError
from autosteer.physics import UnitCell, cell_parameters, primitive_transform
from tests.analysis.simulated_spots import (
    CUBIC_I,
    LYSOZYME,
    MONOCLINIC_C,
    ORTHORHOMBIC_F,
    RHOMBOHEDRAL,
    THERMOLYSIN,
    TRICLINIC,
    Stills,
    misorientation_deg,
    random_lattice,
    reflections,
    scramble,
    simulate_stills,
)

CELLS = (
    LYSOZYME,
    THERMOLYSIN,
    TRICLINIC,
    MONOCLINIC_C,
    CUBIC_I,
    ORTHORHOMBIC_F,
    RHOMBOHEDRAL,
)


def by_cell(cell: UnitCell) -> str:
    return f"{cell.a:.0f}-{cell.b:.0f}-{cell.c:.0f}-{cell.centering}"


@pytest.mark.parametrize("cell", CELLS, ids=by_cell)
@pytest.mark.parametrize(
    ("n_spots", "outliers", "wanted"),
    [(15, 0.0, 0.97), (60, 0.0, 0.97), (30, 0.5, 0.95), (60, 0.5, 0.95)],
)
def test_orientation_is_right(cell: UnitCell, n_spots: int, outliers: float, wanted: float) -> None:
    stills = simulate_stills(cell, 60, n_spots, outliers=outliers, seed=n_spots)
    result = Indexer(cell).index(stills.q)
    right = misorientation_deg(result.lattices, stills.lattices, cell) < 0.5
    assert right.mean() >= wanted


@pytest.mark.parametrize(("n_spots", "wanted"), [(6, 0.85), (8, 0.9), (10, 0.95)])
def test_few_spots_suffice(n_spots: int, wanted: float) -> None:
    stills = simulate_stills(LYSOZYME, 100, n_spots, seed=n_spots)
    result = Indexer(LYSOZYME).index(stills.q)
    right = misorientation_deg(result.lattices, stills.lattices, LYSOZYME) < 0.75
    assert right.mean() >= wanted


@pytest.mark.parametrize("cell", [LYSOZYME, TRICLINIC, CUBIC_I], ids=by_cell)
@pytest.mark.parametrize("n_spots", [5, 8, 12, 20, 50, 200])
def test_lists_without_a_lattice_are_rarely_indexed(cell: UnitCell, n_spots: int) -> None:
    n_frames = 200 if n_spots <= 50 else 100
    q = simulate_stills(cell, 40, n_spots, seed=1).q
    rng = np.random.default_rng(n_spots)
    lists = np.concatenate([scramble(q, rng) for _ in range(n_frames // len(q))])
    # Up to 1 % of 200 is allowed, that is 2; 6 and more of them come up by chance in 1.6 %.
    assert Indexer(cell).index(lists).indexed.sum() <= 5


def test_spots_about_the_direct_beam_count_for_nothing() -> None:
    rng = np.random.default_rng(13)
    q = scramble(simulate_stills(LYSOZYME, 100, 20, seed=1).q, rng)
    q[:, :12] = rng.normal(scale=5e-4, size=(100, 12, 3))
    assert Indexer(LYSOZYME).index(q).indexed.sum() <= 4


@pytest.mark.slow
@pytest.mark.parametrize("cell", CELLS, ids=by_cell)
@pytest.mark.parametrize("n_spots", [5, 6, 7, 8, 10, 12, 15, 20, 30, 50, 100, 200])
def test_false_accepts_stay_below_their_bound(cell: UnitCell, n_spots: int) -> None:
    q = simulate_stills(cell, 200, n_spots, seed=21).q
    rng = np.random.default_rng(n_spots)
    lists = np.concatenate([scramble(q, rng) for _ in range(5)])
    assert Indexer(cell).index(lists).indexed.mean() <= 0.01


def overlaid(cell: UnitCell, n_frames: int, counts: tuple[int, ...], seed: int) -> Stills:
    """Simulate frames with several crystals; the lattices are (n_frames, n_crystals, 3, 3)."""
    rng = np.random.default_rng(seed)
    q = np.full((n_frames, sum(counts), 3), np.nan, dtype=np.float32)
    truth = np.empty((n_frames, len(counts), 3, 3))
    for frame in range(n_frames):
        parts = []
        for which, n_spots in enumerate(counts):
            truth[frame, which] = random_lattice(cell, rng)
            parts.append(reflections(cell, truth[frame, which], rng)[:n_spots])
        spots = rng.permutation(np.concatenate(parts))
        q[frame, : len(spots)] = spots
    return Stills(q, truth)


@pytest.mark.parametrize("cell", [LYSOZYME, TRICLINIC], ids=by_cell)
@pytest.mark.parametrize("counts", [(35, 25), (20, 20, 20)])
def test_all_lattices_of_a_frame_are_found(cell: UnitCell, counts: tuple[int, ...]) -> None:
    stills = overlaid(cell, 40, counts, seed=3)
    result = Indexer(cell).index(stills.q)
    found = np.zeros(stills.lattices.shape[:2], dtype=bool)
    for which in range(len(counts)):
        truth = stills.lattices[result.frame_index, which]
        right = misorientation_deg(result.all_lattices, truth, cell) < 0.5
        found[result.frame_index[right], which] = True
    assert found.all(axis=1).mean() >= 0.95
    assert len(result.all_lattices) <= 1.05 * found.size
    assert (np.diff(result.frame_index) >= 0).all()
    np.testing.assert_array_equal(result.n_lattices, np.bincount(result.frame_index, minlength=40))
    # A spot belongs to one lattice only, and each lattice counts its own.
    counted = np.bincount(result.spot_lattice[result.spot_lattice >= 0])
    np.testing.assert_array_equal(counted, result.found.n_spots)
    np.testing.assert_array_equal(result.all_lattices[result.best], result.lattices)


def test_no_more_lattices_are_looked_for_than_wanted() -> None:
    stills = overlaid(LYSOZYME, 10, (30, 30), seed=4)
    result = Indexer(LYSOZYME, max_lattices=1).index(stills.q)
    assert (result.n_lattices == 1).all()


@pytest.mark.parametrize("cell", [LYSOZYME, MONOCLINIC_C, RHOMBOHEDRAL], ids=by_cell)
def test_spots_are_indexed(cell: UnitCell) -> None:
    stills = simulate_stills(cell, 20, 40, outliers=0.2, seed=14)
    result = Indexer(cell).index(stills.q)
    own = result.spot_lattice >= 0
    np.testing.assert_array_equal(own, np.isfinite(result.residual))
    assert not result.hkl[~own].any()
    reciprocal = np.linalg.inv(result.lattices[np.nonzero(own)[0]])
    nodes = np.einsum("nij,nj->ni", reciprocal, result.hkl[own].astype(float))
    distance = np.linalg.norm(nodes - stills.q[own], axis=1)
    np.testing.assert_allclose(distance, result.residual[own], atol=1e-6)
    assert np.median(distance) < 1.5e-3
    primitive = result.hkl[own] @ primitive_transform(cell.centering).T
    assert (np.abs(primitive - np.rint(primitive)) < 1e-6).all()


def test_equivalent_orientations_are_reported_as_one() -> None:
    rng = np.random.default_rng(15)
    lattice = random_lattice(LYSOZYME, rng)
    spots = reflections(LYSOZYME, lattice, rng)[:40]
    # Turning the crystal by one of its own rotations changes nothing but the labels.
    result = Indexer(LYSOZYME).index(np.stack([spots, spots[::-1]]))
    np.testing.assert_allclose(result.lattices[0], result.lattices[1], atol=1e-3)
    turned = np.linalg.inv(LYSOZYME.basis()) @ result.lattices[0]
    quarter = np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]])
    flipped = np.diag([1.0, -1, -1])
    for rotation in (quarter, quarter @ quarter, flipped, flipped @ quarter):
        assert np.trace(rotation @ turned) <= np.trace(turned)


@pytest.mark.parametrize(
    ("cell", "point_group", "n_indexings"),
    [
        (LYSOZYME, None, 2),
        (LYSOZYME, "422", 1),
        (LYSOZYME, "4", 2),
        (THERMOLYSIN, "622", 1),
        (THERMOLYSIN, None, 4),
        (TRICLINIC, None, 1),
        (CUBIC_I, "23", 2),
        (RHOMBOHEDRAL, "32", 1),
        # Nearly a right angle: the other setting has nearly the same cell.
        (UnitCell(50, 65, 80, 90, 90.3, 90), None, 2),
    ],
)
def test_ambiguous_indexing_is_flagged(
    cell: UnitCell, point_group: str | None, n_indexings: int
) -> None:
    result = Indexer(cell, point_group=point_group).index(np.full((1, 0, 3), np.nan))
    assert result.n_indexings == n_indexings


@pytest.mark.parametrize(
    ("point_group", "message"), [("4mm", "unknown: proteins have"), ("622", "does not fit")]
)
def test_a_wrong_point_group_is_named(point_group: str, message: str) -> None:
    with pytest.raises(AnalysisError, match=message):
        Indexer(LYSOZYME, point_group=point_group)


def test_a_nearly_symmetric_cell_keeps_its_angle() -> None:
    cell = UnitCell(50, 65, 80, 90, 91.5, 90)
    stills = simulate_stills(cell, 40, 60, seed=16)
    result = Indexer(cell).index(stills.q)
    assert result.indexed.all()
    beta = cell_parameters(result.lattices)[:, 4]
    assert (beta > 90.4).mean() >= 0.95
    assert np.median(beta) == pytest.approx(91.5, abs=0.1)


def test_cell_sigma_is_honest() -> None:
    stills = simulate_stills(TRICLINIC, 150, 60, seed=17)
    result = Indexer(TRICLINIC).index(stills.q)
    assert result.indexed.all()
    deviation = cell_parameters(result.lattices) - cell_parameters(stills.lattices)
    pull = np.sqrt(np.mean((deviation / result.found.cell_sigma) ** 2, axis=0))
    assert (pull > 0.7).all()
    assert (pull < 1.4).all()


def test_a_frame_without_a_lattice_says_why() -> None:
    q = np.full((4, 30, 3), np.nan, dtype=np.float32)
    rng = np.random.default_rng(18)
    stills = simulate_stills(LYSOZYME, 2, 30, seed=18)
    q[0, :4] = stills.q[0, :4]
    q[1] = scramble(stills.q[0], rng)
    q[2, :20] = np.arange(1, 21)[:, None] * np.array([1 / 79.1, 0, 0])
    q[3] = stills.q[1]
    reasons = [Reason(reason) for reason in Indexer(LYSOZYME).index(q).reason]
    assert reasons == [
        Reason.TOO_FEW_SPOTS,
        Reason.NO_LATTICE,
        Reason.UNDETERMINED,
        Reason.INDEXED,
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    "lengths", [(117, 223, 308), (281, 281, 165)], ids=lambda lengths: f"{lengths[2]}"
)
@pytest.mark.parametrize(("n_spots", "outliers"), [(60, 0.0), (200, 0.0), (100, 0.3)])
def test_large_cells(lengths: tuple[float, float, float], n_spots: int, outliers: float) -> None:
    cell = UnitCell(*lengths, 90, 90, 120 if lengths[0] == lengths[1] else 90)
    stills = simulate_stills(cell, 30, n_spots, outliers=outliers, seed=n_spots)
    result = Indexer(cell).index(stills.q)
    right = misorientation_deg(result.lattices, stills.lattices, cell) < 0.5
    assert right.mean() >= 0.9


def test_result_is_a_conventional_right_handed_cell() -> None:
    for cell in (MONOCLINIC_C, RHOMBOHEDRAL, ORTHORHOMBIC_F):
        stills = simulate_stills(cell, 20, 60, seed=4)
        result = Indexer(cell).index(stills.q)
        assert result.indexed.all()
        assert (np.linalg.det(result.lattices) > 0).all()
        deviation = cell_parameters(result.lattices) - [*cell.lengths, *cell.angles]
        assert np.abs(deviation).max() < 2.5
        # All reflections that the centring allows, and no others, fall on whole numbers.
        hkl = np.einsum("fvc,fsc->fsv", result.lattices, stills.q)
        near = np.abs(hkl - np.rint(hkl)).max(axis=2) < 0.25
        whole = np.rint(hkl[near]) @ primitive_transform(cell.centering).T
        assert near.mean() > 0.95
        assert (np.abs(whole - np.rint(whole)) < 1e-6).mean() > 0.99


def test_indexed_spots_are_those_of_the_lattice() -> None:
    rng = np.random.default_rng(5)
    lattice = random_lattice(LYSOZYME, rng)
    spots = reflections(LYSOZYME, lattice, rng)[:40]
    noise = scramble(spots[rng.integers(40, size=20)], rng)
    result = Indexer(LYSOZYME).index(np.concatenate([noise, spots])[None])
    assert result.indexed_spots[0, 20:].mean() > 0.9
    assert result.indexed_spots[0, :20].mean() < 0.35
    assert result.n_indexed_spots[0] == result.indexed_spots.sum()


def test_orientation_sigma_is_honest() -> None:
    for n_spots, outliers in ((10, 0.0), (30, 0.0), (60, 0.5)):
        stills = simulate_stills(LYSOZYME, 150, n_spots, outliers=outliers, seed=6)
        result = Indexer(LYSOZYME).index(stills.q)
        angle = misorientation_deg(result.lattices, stills.lattices, LYSOZYME)
        pull = (angle / result.orientation_sigma_deg)[angle < 2]
        assert 0.6 < np.sqrt(np.mean(pull**2)) < 1.5


@pytest.fixture(scope="module")
def lysozyme() -> Indexer:
    return Indexer(LYSOZYME)


def assert_nothing_found(result: IndexingResult) -> None:
    assert not result.indexed.any()
    assert np.isnan(result.lattices).all()
    assert np.isnan(result.orientation_sigma_deg).all()
    assert not result.n_indexed_spots.any()
    assert not result.indexed_spots.any()


@pytest.mark.parametrize("shape", [(0, 0, 3), (3, 0, 3), (0, 5, 3)])
def test_nothing_in_gives_nothing_out(lysozyme: Indexer, shape: tuple[int, ...]) -> None:
    result = lysozyme.index(np.empty(shape))
    assert result.lattices.shape == (shape[0], 3, 3)
    assert result.indexed_spots.shape == shape[:2]
    assert_nothing_found(result)


def test_lists_that_cannot_be_indexed_are_not(lysozyme: Indexer) -> None:
    same_spot = np.tile(np.array([0.1, 0.1, -0.01]), (20, 1))
    row = np.arange(1, 21)[:, None] * np.array([1 / 79.1, 0, 0])
    far = np.random.default_rng(7).normal(size=(20, 3)) * 1e3
    beam = np.zeros((20, 3))
    nothing = np.full((20, 3), np.inf)
    assert_nothing_found(lysozyme.index(np.stack([same_spot, row, far, beam, nothing])))


def test_frames_do_not_depend_on_each_other_nor_spots_on_their_order(lysozyme: Indexer) -> None:
    stills = simulate_stills(LYSOZYME, 12, 50, outliers=0.3, seed=8)
    q = stills.q
    q[3, 10:] = np.nan
    q[5] = np.nan
    q[7, 4, 1] = np.nan
    together = lysozyme.index(q)
    assert together.indexed.sum() == 11
    for frame in range(len(q)):
        alone = lysozyme.index(q[frame : frame + 1])
        np.testing.assert_allclose(alone.lattices[0], together.lattices[frame], atol=1e-3)
    order = np.random.default_rng(9).permutation(50)
    shuffled = lysozyme.index(q[:, order])
    np.testing.assert_allclose(shuffled.lattices, together.lattices, atol=1e-3)
    np.testing.assert_array_equal(shuffled.indexed_spots, together.indexed_spots[:, order])


def test_very_many_spots_are_all_used(lysozyme: Indexer) -> None:
    rng = np.random.default_rng(10)
    lattice = random_lattice(LYSOZYME, rng)
    spots = reflections(LYSOZYME, lattice, rng)
    noise = np.concatenate([scramble(spots, rng) for _ in range(3)])[: 880 - len(spots)]
    result = lysozyme.index(np.concatenate([spots, noise])[None])
    assert misorientation_deg(result.lattices, lattice[None], LYSOZYME)[0] < 0.1
    assert result.n_indexed_spots[0] > 0.9 * len(spots)


def test_a_cell_beyond_the_tolerance_is_refused() -> None:
    stills = simulate_stills(LYSOZYME, 30, 60, seed=11)
    stretched = UnitCell(81.9, 81.9, 37.9, 90, 90, 90)
    assert Indexer(stretched).index(stills.q).indexed.mean() < 0.2


def test_a_cell_within_the_tolerance_is_found_and_measured() -> None:
    stills = simulate_stills(LYSOZYME, 60, 60, outliers=0.3, seed=11)
    expanded = UnitCell(80.2, 80.2, 38.4, 90, 90, 90)
    result = Indexer(expanded).index(stills.q)
    right = misorientation_deg(result.lattices, stills.lattices, LYSOZYME) < 0.5
    assert right.mean() >= 0.95
    lengths = np.median(cell_parameters(result.lattices[right])[:, :3], axis=0)
    np.testing.assert_allclose(lengths, LYSOZYME.lengths, rtol=2e-3)


def test_noisy_positions_do_not_matter_before_they_hide_the_lattice() -> None:
    stills = simulate_stills(LYSOZYME, 60, 60, seed=19)
    noise = np.random.default_rng(19).normal(scale=2e-3, size=stills.q.shape)
    result = Indexer(LYSOZYME).index(stills.q + noise)
    right = misorientation_deg(result.lattices, stills.lattices, LYSOZYME) < 0.75
    assert right.mean() >= 0.9
    assert np.median(result.found.position_sigma) == pytest.approx(2e-3, rel=0.2)


def test_a_dense_lattice_that_fits_anything_is_refused() -> None:
    stills = simulate_stills(LYSOZYME, 40, 60, seed=12)
    dense = UnitCell(120, 140, 160, 90, 90, 90)
    assert Indexer(dense).index(stills.q).indexed.mean() <= 0.1


def test_another_cell_is_refused() -> None:
    stills = simulate_stills(LYSOZYME, 40, 60, seed=12)
    # Real lattices share rows and planes by chance, so that some of these lists do get through.
    for cell in (TRICLINIC, MONOCLINIC_C):
        assert Indexer(cell).index(stills.q).indexed.mean() <= 0.2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cell_tolerance": 0.0}, "cell_tolerance is 0.0: it must lie within"),
        ({"false_accept": 1.0}, "false_accept is 1.0"),
        ({"position_sigma": float("nan")}, "position_sigma is nan"),
        ({"device": "no-such-device"}, "'cpu' always can"),
    ],
)
def test_wrong_options_are_named(options: dict[str, float], message: str) -> None:
    with pytest.raises(AnalysisError, match=message):
        Indexer(LYSOZYME, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(4, 3), (2, 5, 2), (2, 5, 3, 1)])
def test_another_shape_is_an_error(lysozyme: Indexer, shape: tuple[int, ...]) -> None:
    with pytest.raises(AnalysisError, match=r"q has shape .* \(n_frames, n_spots, 3\)"):
        lysozyme.index(np.zeros(shape))
