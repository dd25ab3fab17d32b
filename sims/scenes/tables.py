"""Table kinds of the scenarios; experiment files name this module under ``plugins``."""

from __future__ import annotations

import pyarrow as pa

from autosteer.contracts.tables import column, register_table_kind, shot_kind

_F4, _U4, _BOOL = pa.float32(), pa.uint32(), pa.bool_()

JET = shot_kind(
    "jet",
    [
        column("hit", _BOOL, "1", "a crystal was in the beam and diffracted enough"),
        column("n_spots", _U4, "1", "spots found"),
        column("jet_signal", _U4, "photons", "scattering of the liquid"),
    ],
)
FOCUS = shot_kind(
    "focus",
    [
        column("slit_photons", _U4, "photons", "through the slit at the focus"),
        column("spot_area_um2", _F4, "um^2", "area of the spot on a screen"),
    ],
)
PIXELS = shot_kind(
    "pixels",
    [
        column("n_resolved", _U4, "1", "spots that stand apart from their neighbors"),
        column("saturated", _BOOL, "1", "a spot is beyond what the detector can count"),
    ],
)
PUMP_PROBE = shot_kind(
    "pump_probe",
    [
        column("laser_on", _BOOL, "1", "the pump laser has fired"),
        column("peak", _F4, "1", "change of the absorption that lives as long as both overlap"),
        column("edge", _F4, "1", "change of the absorption that stays after time zero"),
    ],
)
WELL = shot_kind(
    "well",
    [
        column("hit", _BOOL, "1", "a crystal was hit"),
        column("n_spots", _U4, "1", "spots found"),
    ],
)
DIFFUSE = shot_kind(
    "diffuse",
    [
        column("signal_to_noise", _F4, "1", "diffuse scattering over its noise"),
        column("dose_mgy", _F4, "MGy", "dose of the exposure"),
    ],
)
SCATTERING = shot_kind(
    "scattering",
    [
        column("signal", _U4, "photons", "scattered by the sample"),
        column("background", _U4, "photons", "scattered by slits and air"),
    ],
)
TRANSMISSION = shot_kind(
    "transmission",
    [
        column("photon_energy_ev", _F4, "eV", "photon energy, as a spectrometer reads it"),
        column("photons", _U4, "photons", "behind the monochromator"),
    ],
)
MERGING = shot_kind(
    "merging",
    [
        column("n_spots", _U4, "1", "spots found"),
        column("quality", _F4, "1", "what the shot adds to the merged data"),
    ],
)
FUNCTION = shot_kind(
    "function",
    [
        column("value", _F4, "1", "value of the function, with noise"),
        column("halo", _F4, "1", "the same, several times as wide about the optimum"),
    ],
)

for _kind in (
    *(JET, FOCUS, PIXELS, PUMP_PROBE, WELL),
    *(DIFFUSE, SCATTERING, TRANSMISSION, MERGING, FUNCTION),
):
    register_table_kind(_kind)
