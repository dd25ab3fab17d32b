"""The kinds of result tables that autosteer makes itself."""

from __future__ import annotations

import pyarrow as pa

from autosteer.contracts.tables import column, item_kind, register_table_kind, shot_kind

_F8, _F4, _U4, _BOOL = pa.float64(), pa.float32(), pa.uint32(), pa.bool_()

_CELL_UNITS = dict.fromkeys(("a", "b", "c"), "angstrom") | dict.fromkeys(
    ("alpha", "beta", "gamma"), "deg"
)

INDEXING = shot_kind(
    "indexing",
    [
        column("n_spots", _U4, "1", "Bragg spots found"),
        column("hit", _BOOL, "1", "spots enough to call the frame a hit"),
        column("indexed", _BOOL, "1", "a lattice was found"),
        column("n_lattices", _U4, "1", "lattices found"),
        column("n_indexed_spots", _U4, "1", "spots that the best lattice explains"),
        column("resolution_angstrom", _F4, "angstrom", "d of the outermost spots"),
        column("a", _F4, "angstrom", "cell length a of the best lattice"),
        column("b", _F4, "angstrom", "cell length b of the best lattice"),
        column("c", _F4, "angstrom", "cell length c of the best lattice"),
        column("alpha", _F4, "deg", "cell angle alpha of the best lattice"),
        column("beta", _F4, "deg", "cell angle beta of the best lattice"),
        column("gamma", _F4, "deg", "cell angle gamma of the best lattice"),
        column("orientation_sigma_deg", _F4, "deg", "standard deviation of the orientation"),
        column("reason", pa.uint8(), "1", "why there is no lattice; 0 where there is one"),
        column("result_latency_s", _F4, "s", "exposure to the result leaving the worker"),
    ],
)

QUALITY = shot_kind(
    "quality",
    [
        column("n_spots", _U4, "1", "Bragg spots found"),
        column("indexed_fraction", _F4, "1", "spots on lattices over all spots"),
        column("n_lattices", _U4, "1", "lattices found"),
        column("resolution_angstrom", _F4, "angstrom", "d of the outermost spots"),
        column("resolution_robust_angstrom", _F4, "angstrom", "d beyond which a tenth lies"),
        column("rmsd", _F4, "1/angstrom", "rms distance of spots from lattice points"),
        *(
            column(name, _F4, unit, f"cell parameter {name} of the best lattice")
            for name, unit in _CELL_UNITS.items()
        ),
        column("mosaicity_deg", _F4, "deg", "excitation errors taken as mosaicity"),
        column("falloff_b_angstrom2", _F4, "angstrom^2", "apparent B factor of the spots"),
        column("asymmetry", _F4, "1", "0: spots all around the beam, 1: all on one side"),
        column("ring_score", _F4, "1", "share of the spots on rings of ice or powder"),
        column("gain", _F4, "detector counts", "counts of a photon, learned from the noise"),
        column("background_level", _F4, "detector counts", "median background of the frame"),
        column("saturated_fraction", _F4, "1", "saturated over usable pixels"),
        column("geometry_id", pa.uint64(), "1", "calibrated geometry used; null: the one given"),
    ],
)

PULSE = shot_kind(
    "pulse",
    [
        column("n_spikes", _U4, "1", "most probable number of sub-spikes"),
        *(column(f"p_{n}", _F4, "1", f"probability of {n} sub-spikes") for n in range(4)),
        column("p_4", _F4, "1", "probability of four or more sub-spikes"),
        column("p_two_spike", _F4, "1", "probability of exactly two sub-spikes"),
        column("phase_rad", _F4, "rad", "streaking phase of the first sub-spike"),
        column("delta_phase_rad", _F4, "rad", "phase between two sub-spikes, folded to [0, pi]"),
        column("delta_phase_sigma_rad", _F4, "rad", "standard deviation of that phase"),
        column("delay_as", _F4, "as", "delay between two sub-spikes"),
        column("goodness", _F4, "1", "goodness of fit"),
        column("ambiguous", _BOOL, "1", "two explanations compete"),
        column("abstained", pa.uint8(), "1", "why nothing is said; 0 where something is"),
        column("two_spike_corrected", _F4, "1", "two sub-spikes, 1 or 0, corrected for miscounts"),
        column("result_latency_s", _F4, "s", "exposure to the result leaving the worker"),
    ],
)

AUDIT = shot_kind(
    "audit",
    [
        column("n_spikes", _U4, "1", "sub-spikes as the matched estimator counts them"),
        column("same_count", _BOOL, "1", "the pulse's own estimator counts as many"),
        column("delta_phase_rad", _F4, "rad", "phase between two sub-spikes, matched"),
        column("delta_phase_sigma_rad", _F4, "rad", "standard deviation of that phase"),
        column("deviation", _F4, "1", "difference of the phases in their standard deviations"),
        column("disagrees", _BOOL, "1", "that difference is beyond 5 standard deviations"),
    ],
)
"""The few shots that a second estimator has looked at; the others have no row."""

MACHINE = shot_kind(
    "machine",
    [
        column("beam_intensity", _F4, "1", "pulse energy over its nominal value"),
    ],
)

SPOTS = item_kind(
    "spots",
    [
        column("panel", _U4, "1", "detector panel"),
        column("slow_px", _F4, "px", "centroid along the slow axis, 0 at the first pixel's centre"),
        column("fast_px", _F4, "px", "centroid along the fast axis, 0 at the first pixel's centre"),
        column("intensity", _F4, "detector counts", "sum above background"),
        column("sigma", _F4, "detector counts", "standard deviation of the intensity"),
        column("n_pixels", _U4, "1", "pixels of the spot"),
        column("snr", _F4, "1", "counts over the noise of the background"),
        column("on_ring", _BOOL, "1", "lies on a ring of ice or powder"),
        column("q_x", _F4, "1/angstrom", "scattering vector, x"),
        column("q_y", _F4, "1/angstrom", "scattering vector, y"),
        column("q_z", _F4, "1/angstrom", "scattering vector, z"),
        column("lattice", _U4, "1", "item of the lattice to which the spot belongs"),
        *(column(index, pa.int32(), "1", f"Miller index {index}") for index in "hkl"),
        column("residual", _F4, "1/angstrom", "distance from the lattice point"),
    ],
)

LATTICES = item_kind(
    "lattices",
    [
        *(
            column(f"{vector}_{axis}", _F8, "angstrom", f"cell vector {vector}, {axis}")
            for vector in "abc"
            for axis in "xyz"
        ),
        column("n_indexed_spots", _U4, "1", "spots that this lattice explains"),
        *(
            column(f"{name}{suffix}", _F4, unit, f"{text} {name}")
            for suffix, text in (("", "cell parameter"), ("_sigma", "standard deviation of"))
            for name, unit in _CELL_UNITS.items()
        ),
        column("orientation_sigma_deg", _F4, "deg", "standard deviation of the orientation"),
        column("position_sigma", _F4, "1/angstrom", "scatter of the spots across their rays"),
        column("excitation_sigma", _F4, "1/angstrom", "scatter of the spots along their rays"),
        column("n_indexings", _U4, "1", "ways to index that only intensities can tell apart"),
        column("chance_probability", _F4, "1", "bound on chance doing as well"),
    ],
)

CALIBRATION = item_kind(
    "calibration",
    [
        column("quantity", pa.uint8(), "1", "0-2 shift x, y, z [mm]; 3-4 cell scale, distortion"),
        column("panel", pa.int32(), "1", "panel of the detector; -1 for all of it"),
        column("value", _F8, "1", "the number, in the quantity's unit"),
        column("sigma", _F8, "1", "standard deviation of the value"),
        column("n_frames", _U4, "1", "frames that it rests on"),
        column("trust", pa.uint8(), "1", "0 untrusted, 1 provisional, 2 trusted"),
        column("calibration_id", pa.uint64(), "1", "fingerprint of the calibration"),
        column("geometry_id", pa.uint64(), "1", "fingerprint of all that were found together"),
    ],
)
"""Calibrations; ``pulse_id`` is the first pulse that each is valid from."""


for _kind in (INDEXING, QUALITY, PULSE, AUDIT, MACHINE, SPOTS, LATTICES, CALIBRATION):
    register_table_kind(_kind)
