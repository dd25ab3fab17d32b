"""From plain data to a checked `Experiment`, with the path of every error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from autosteer.contracts.analysis_sections import Analysis
from autosteer.contracts.errors import ExperimentFileError, TableError
from autosteer.contracts.experiment import Experiment
from autosteer.contracts.quantities import Condition
from autosteer.contracts.simulation import SimulatedSfx, Simulation
from autosteer.contracts.sources import SinogramSourceSection
from autosteer.contracts.tables import table_kind
from autosteer.contracts.xleap_simulation import SimulatedXleap

Mistake = tuple[str, str]

# Sections whose keys depend on their key 'kind'.
_BY_KIND = (("source",), ("simulation", "beamline"))
# What the kinds of simulated beamlines can be the source of.
_GIVES = {
    "sfx": ("frames", "spot_lists", "tables"),
    "xleap": ("sinograms", "tables"),
    "custom": ("tables",),
}


def parse_experiment(data: Any, where: str) -> Experiment:
    """Check plain data against the experiment file's models and against itself.

    Parameters
    ----------
    data : object
        What the YAML file held.
    where : str
        Name of the file, for messages.

    Returns
    -------
    Experiment
        The checked experiment.

    Raises
    ------
    ExperimentFileError
        With the path and text of every error that was found.
    """
    if not isinstance(data, Mapping):
        raise ExperimentFileError(where, [("(file)", "the file must hold a mapping of sections")])
    try:
        experiment = Experiment.model_validate(data)
    except ValidationError as error:
        raise ExperimentFileError(where, [_readable(entry) for entry in error.errors()]) from None
    problems = list(_cross_checks(experiment))
    if problems:
        raise ExperimentFileError(where, problems)
    return experiment


def _readable(entry: Any) -> Mistake:
    """Turn one of pydantic's errors into a path and a sentence."""
    parts = tuple(entry["loc"])
    for section in _BY_KIND:
        # What follows is the section's kind, which is no key of the file.
        if parts[: len(section)] == section:
            parts = section + parts[len(section) + 1 :]
    path = ".".join(map(str, parts)) or "(file)"
    message = entry["msg"].removeprefix("Value error, ")
    if entry["type"] == "extra_forbidden":
        message = "unknown key: check the spelling (autosteer config schema lists the keys)"
    elif entry["type"] == "missing":
        message = "this key is required"
    elif not isinstance(entry.get("input"), Mapping | list | None):
        message = f"{message} (found {entry['input']!r})"
    return path, message


def _cross_checks(experiment: Experiment) -> Iterator[Mistake]:
    """Check what one section says against the others."""
    for name, knob in experiment.knobs.items():
        if knob.device not in experiment.devices:
            yield (
                f"knobs.{name}.device",
                f"no device '{knob.device}': there are {', '.join(experiment.devices)}",
            )
    envelope = experiment.envelope
    paths = [
        (f"envelope.keep_out.{index}.box.{name}", name)
        for index, zone in enumerate(envelope.keep_out)
        for name in zone.box
    ]
    paths += [
        (f"envelope.linear.{index}.weights.{name}", name)
        for index, limit in enumerate(envelope.linear)
        for name in limit.weights
    ]
    for path, name in paths:
        if name not in experiment.knobs:
            yield path, f"no knob '{name}': there are {', '.join(experiment.knobs)}"
    if experiment.stop.sample_ul is not None and experiment.sample.flow_ul_per_min is None:
        yield "stop.sample_ul", "needs sample.flow_ul_per_min"
    for index, interlock in enumerate(experiment.envelope.interlocks):
        if interlock.device not in experiment.devices:
            yield (
                f"envelope.interlocks.{index}.device",
                f"no device '{interlock.device}': there are {', '.join(experiment.devices)}",
            )
    yield from _column_checks(experiment)
    analysis, kind = experiment.analysis, experiment.source.kind
    if kind != "tables" and experiment.worker_section is None:
        section = "pulses" if kind == "sinograms" else "analysis"
        yield section, f"needed where source.kind is {kind}"
    if kind == "frames" and analysis is not None and analysis.detector is None:
        yield "analysis.detector", "needed where source.kind is frames"
    if "audit" in experiment.channels:
        yield from _audit_checks(experiment)
    if experiment.stop.when_sorted and experiment.sort is None:
        yield "stop.when_sorted", "needs a section 'sort'"
    if analysis is not None and analysis.calibration is not None and kind != "frames":
        yield "analysis.calibration", f"only where source.kind is frames, not {kind}"
    yield from _source_checks(experiment)
    paths_of_quantities = _quantity_paths(experiment)
    names = [quantity.name for quantity in experiment.quantities]
    for path, name in zip(paths_of_quantities, names, strict=True):
        if name in experiment.knobs:
            yield f"{path}.name", f"'{name}' is the name of a knob"
    for index, name in _used_twice(names):
        yield f"{paths_of_quantities[index]}.name", f"'{name}' is used twice"


def _audit_checks(experiment: Experiment) -> Iterator[Mistake]:
    """Check that there is an audit, where its columns are read."""
    section, kind = experiment.pulses, experiment.source.kind
    if kind != "sinograms" or section is None:
        return
    if section.estimator == "matched" or not section.audit_fraction:
        yield (
            "pulses.audit_fraction",
            "columns of the audit are read, and nothing is audited: the matched estimator audits "
            "others, where audit_fraction is above 0",
        )


def _quantity_paths(experiment: Experiment) -> list[str]:
    """List the paths of the quantities, in their order."""
    sections = {
        "trade_offs": experiment.trade_offs,
        "constraints": experiment.constraints,
        "context": experiment.context,
        "diagnostics": experiment.diagnostics,
        "observables": experiment.observables,
    }
    return [
        "objective",
        *(f"{name}.{index}" for name, given in sections.items() for index in range(len(given))),
    ]


def _source_checks(experiment: Experiment) -> Iterator[Mistake]:
    """Check that shots come from somewhere: from the simulation, or from outside."""
    source = experiment.source
    if experiment.simulation is not None:
        if source.kind == "spot_lists" and source.path is None:
            yield "source.path", "needed where the spot lists are simulated"
        yield from _simulation_checks(experiment, experiment.simulation)
        if source.producers:
            yield "source.producers", "not with a section 'simulation', which makes all tables"
    elif source.kind == "tables":
        if not source.producers:
            yield "source.producers", "needed where nothing is simulated"
    elif experiment.worker_section is not None:
        workers, streams = experiment.worker_section.workers, 1
        if source.kind == "sinograms":
            streams = source.channels
        if len(source.addresses) != workers * streams:
            each = "a stream" if streams == 1 else f"{streams} streams"
            yield (
                "source.addresses",
                f"{len(source.addresses)} for {workers} workers: each takes {each} of its own "
                "where nothing is simulated",
            )
    names = [producer.name for producer in source.producers]
    for index, name in _used_twice(names):
        yield f"source.producers.{index}.name", f"'{name}' is used twice"
    for index, name in enumerate(names):
        if name.startswith("worker-"):
            yield f"source.producers.{index}.name", "autosteer's own workers are called 'worker-'"


def _simulation_checks(experiment: Experiment, simulation: Simulation) -> Iterator[Mistake]:
    """Check that the simulated beamline gives what the source is said to give."""
    beamline, source = simulation.beamline, experiment.source
    if source.kind not in _GIVES[beamline.kind]:
        yield (
            "simulation.beamline.kind",
            f"'{beamline.kind}' cannot give what source.kind says, {source.kind}: it gives "
            + ", ".join(_GIVES[beamline.kind]),
        )
    elif beamline.kind == "xleap":
        if source.kind == "sinograms":
            yield from _spectrometer_checks(source, beamline)
    elif beamline.kind == "sfx" and source.kind == "frames" and experiment.analysis is not None:
        yield from _simulated_detector_checks(experiment.analysis, beamline)


def _spectrometer_checks(source: SinogramSourceSection, xleap: SimulatedXleap) -> Iterator[Mistake]:
    """Check that the simulated spectrometer has the shape that is expected."""
    simulated, expected = xleap.spectrometer, (source.channels, source.bins)
    if (simulated.n_channels, simulated.n_bins) != expected:
        yield (
            "simulation.beamline.spectrometer",
            f"has {simulated.n_channels} channels of {simulated.n_bins} bins, the source "
            f"{source.channels} of {source.bins}",
        )


def _simulated_detector_checks(analysis: Analysis, beamline: SimulatedSfx) -> Iterator[Mistake]:
    """Check that the detector can be simulated, if there is one."""
    detector = analysis.detector
    if detector is None:
        return
    if detector.wavelength_angstrom is None:
        yield "analysis.detector.wavelength_angstrom", "needed where frames are simulated"
    error_mm = beamline.detector.distance_error_mm
    if not detector.distance_mm + error_mm > 0:
        yield (
            "simulation.beamline.detector.distance_error_mm",
            f"{error_mm:g} puts the detector, {detector.distance_mm:g} mm away, behind the sample",
        )


def _used_twice(names: Sequence[str]) -> Iterator[tuple[int, str]]:
    """List the places of names that stand earlier already."""
    return ((index, name) for index, name in enumerate(names) if name in names[:index])


def _column_checks(experiment: Experiment) -> Iterator[Mistake]:
    """Check that every column that is named exists in its kind."""
    for where, column in _named_columns(experiment):
        kind_name, dot, column_name = column.partition(".")
        if not dot:
            yield where, f"'{column}' must be written kind.column, as in indexing.hit"
            continue
        try:
            kind = table_kind(kind_name)
        except TableError as error:
            yield where, str(error)
            continue
        if kind.rows != "shot":
            yield where, f"'{kind_name}' has several rows per shot: it cannot be joined"
        elif column_name not in kind.value_columns:
            yield (
                where,
                f"'{kind_name}' has no column '{column_name}': "
                f"it has {', '.join(kind.value_columns)}",
            )


def _named_columns(experiment: Experiment) -> Iterator[tuple[str, str]]:
    """List the columns that the file names, with the path of each."""
    for path, quantity in zip(_quantity_paths(experiment), experiment.quantities, strict=True):
        yield f"{path}.column", quantity.column
        if quantity.normalize_by is not None:
            yield f"{path}.normalize_by", quantity.normalize_by
        yield from _condition_columns(f"{path}.where", quantity.where)
        yield from _condition_columns(f"{path}.zero_unless", quantity.zero_unless)
    if experiment.sort is not None:
        yield "sort.column", experiment.sort.column
        yield from _condition_columns("sort.where", experiment.sort.where)


def _condition_columns(path: str, conditions: Sequence[Condition]) -> Iterator[tuple[str, str]]:
    for number, condition in enumerate(conditions):
        yield f"{path}.{number}.column", condition.column
