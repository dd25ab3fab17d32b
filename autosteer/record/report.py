"""The report of a run: one self-contained HTML file with plots."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from autosteer.contracts import Experiment, RecordingError
from autosteer.record.beliefs import Beliefs
from autosteer.record.canvas import Figure
from autosteer.record.figures import figures_of
from autosteer.record.history import read_bests
from autosteer.record.lines import read_lines
from autosteer.record.run_directory import RunDirectory


@dataclass(frozen=True, slots=True)
class RunContent:
    """What a run's directory holds, read back for a report.

    Parameters
    ----------
    start : mapping
        What was started.
    summary : mapping
        The result; empty for a run that was cut off.
    outcomes, decisions, messages : tuple of mapping
        Lines of the files of these names.
    """

    start: Mapping[str, Any]
    summary: Mapping[str, Any]
    outcomes: tuple[Mapping[str, Any], ...]
    decisions: tuple[Mapping[str, Any], ...]
    messages: tuple[Mapping[str, Any], ...]


def read_run(run: RunDirectory) -> RunContent:
    """Read what a report needs; a run that was cut off gives what there is.

    Parameters
    ----------
    run : RunDirectory
        The run.

    Returns
    -------
    RunContent
        Its content.
    """

    def lines(path: Path) -> tuple[Mapping[str, Any], ...]:
        return tuple(json.loads(line) for line in read_lines(path)) if path.exists() else ()

    summary = json.loads(run.summary.read_text("utf-8")) if run.summary.exists() else {}
    return RunContent(
        start=json.loads(run.start.read_text("utf-8")),
        summary=summary,
        outcomes=lines(run.outcomes),
        decisions=lines(run.decisions),
        messages=lines(run.messages),
    )


def write_report(run: RunDirectory, experiment: Experiment, beliefs: Beliefs | None = None) -> Path:
    """Write the report of a run.

    Parameters
    ----------
    run : RunDirectory
        The run.
    experiment : Experiment
        Its experiment.
    beliefs : Beliefs, optional
        What the policy believes.

    Returns
    -------
    Path
        The report.

    Raises
    ------
    RecordingError
        If it cannot be written.
    """
    from jinja2 import Environment, StrictUndefined

    content = read_run(run)
    template = files("autosteer.record").joinpath("report.html.j2").read_text("utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    beliefs = beliefs or Beliefs()
    bests = read_bests(run)
    figures = figures_of(run, content.outcomes, content.decisions, bests, experiment, beliefs)
    values = _values(run, experiment, content, figures, beliefs)
    page = environment.from_string(template).render(**values)
    try:
        run.report.write_text(page, encoding="utf-8")
    except OSError as error:
        raise RecordingError(f"cannot write {run.report}: {error.strerror}") from error
    return run.report


def _values(
    run: RunDirectory,
    experiment: Experiment,
    content: RunContent,
    figures: list[Figure],
    beliefs: Beliefs,
) -> dict[str, Any]:
    summary = content.summary
    return {
        "title": f"{experiment.name}, run {content.start['run_uid'][:6]}",
        "ok": summary.get("ok", False),
        "reason": summary.get("reason", "the run was cut off: it has no summary"),
        "mode": experiment.mode,
        "simulated": experiment.simulation is not None,
        "run_dir": str(run.path),
        "headline": _headline(experiment, summary),
        "figures": figures,
        "missing": beliefs.missing,
        "front": _front_rows(experiment, beliefs),
        "objectives": [aim.name for aim in experiment.problem.objectives],
        "knobs": [f"{name} [{knob.units}]" for name, knob in experiment.knobs.items()],
        "decisions": [_decision_row(decision, experiment) for decision in content.decisions],
        "messages": [
            (line.get("level", line["type"]), line.get("text", line.get("reason", "")))
            for line in content.messages
        ],
        "counters": list(_flat(summary.get("counters", {}))),
        "experiment": run.experiment.read_text("utf-8"),
        "versions": json.dumps(content.start["versions"], indent=2),
    }


def _headline(experiment: Experiment, summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Pick the numbers that people look for first."""
    if not summary:
        return []
    objective = experiment.objective.name
    place = summary["knobs_best"] or {}
    where = ", ".join(
        f"{name} {value:.4g} {experiment.knobs[name].units}" for name, value in place.items()
    )
    return [
        ("shots", f"{summary['frames_analysed']} analysed of {summary['frames_sent']} sent"),
        ("rate", f"{summary['rate_hz']:.1f} Hz"),
        *_analysis(experiment, summary),
        (
            objective,
            f"{_show(summary['objective_first'])} at the start, "
            f"{_show(summary['objective_final'])} at the end",
        ),
        (
            "best",
            f"{_show(summary['objective_best'])} +- {_show(summary['objective_best_sd'])} "
            f"at {where}"
            if place
            else "not known",
        ),
        (
            "moves",
            f"{summary['moves']} of {summary['decisions']} decisions, "
            f"{summary['refusals']} refused",
        ),
        (
            "result latency",
            f"{_show(summary['latency_p50_s'])} s, p99 {_show(summary['latency_p99_s'])} s",
        ),
        (
            "decision latency",
            f"{_show(summary['decision_latency_p50_s'])} s, "
            f"p99 {_show(summary['decision_latency_p99_s'])} s",
        ),
    ]


def _analysis(experiment: Experiment, summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Say what the analysed shots have shown, and how they were sorted."""
    if experiment.source.kind == "sinograms":
        rows = [
            (
                "pairs, abstained",
                f"{summary['pulses_paired']}, {summary['pulses_abstained']}",
            ),
            (
                "audited phases",
                f"{summary['phases_audited']}, of which {summary['phases_disagreed']} disagree",
            ),
        ]
    else:
        rows = [("hits, indexed", f"{summary['frames_hit']}, {summary['frames_indexed']}")]
    if summary.get("bins") and experiment.sort is not None:
        bins = (
            f"{one['low']:g} to {one['high']:g}: {one['sorted']} of {one['quota']}"
            for one in summary["bins"]
        )
        rows.append((f"sorted by {experiment.sort.column}", ", ".join(bins)))
    return rows


def _front_rows(experiment: Experiment, beliefs: Beliefs) -> list[list[str]]:
    """Write each place of the Pareto front: its knobs, then its objectives."""
    names = [aim.name for aim in experiment.problem.objectives]
    return [
        [
            *(f"{point.knobs[knob]:.4g}" for knob in experiment.knobs),
            *(f"{point.mean[name]:.4g} +- {point.sd[name]:.2g}" for name in names),
        ]
        for point in beliefs.front
    ]


def _show(value: float | None) -> str:
    return "?" if value is None else f"{value:.3g}"


def _decision_row(decision: Mapping[str, Any], experiment: Experiment) -> dict[str, Any]:
    refusal = decision["refusal"]
    return {
        "number": decision["number"],
        "status": decision["status"] + (", closing" if decision["final"] else ""),
        "place": [
            f"{decision['suggestion']['knobs'].get(name, float('nan')):.4g}"
            for name in experiment.knobs
        ],
        "why": refusal["reason"] if refusal else decision["suggestion"]["why"],
    }


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Flatten nested counters to dotted names."""
    rows: list[tuple[str, Any]] = []
    for key, value in values.items():
        name = f"{prefix}.{key}" if prefix else str(key)
        if isinstance(value, Mapping):
            rows += _flat(value, name)
        elif key != "event":
            rows.append((name, value))
    return rows
