"""``autosteer bench policies``: which policy finds what, and what it costs."""

from __future__ import annotations

import math
import os
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autosteer.cli._output import clear_errors, print_error, print_line, wide_console

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from autosteer.analysis.executors import Executor
    from autosteer.bench import Campaign, Cell
    from autosteer.bench.campaign import Result
    from autosteer.sims.scenarios import Scenario

    Results = dict[tuple[str, str], dict[int, Result | None]]
    """What became of each seed, by scenario and policy; None while nothing has."""

_INTERRUPTED = 130
_NAME_WIDTH = 24


class Where(StrEnum):
    """Where trials are run."""

    processes = "processes"
    ray = "ray"


def bench_policies(
    policy: Annotated[
        list[str] | None,
        typer.Option(
            help="A policy: short name, package.module:Class or entry point; overrides behind "
            "commas, as bayes,dwell.motion=tag. Repeat it. Default: all of autosteer's own."
        ),
    ] = None,
    scenario: Annotated[
        list[str] | None,
        typer.Option(help="A scenario, or an experiment file. Repeat it. Default: all scenarios."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds of each, from 1 on.")] = 5,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="Override for all scenarios, as dotted.path=value."),
    ] = None,
    level: Annotated[
        float, typer.Option(help="Share of what is attainable that is to be reached and held.")
    ] = 0.95,
    executor: Annotated[Where, typer.Option(help="Where trials are run.")] = Where.processes,
    processes: Annotated[
        int | None, typer.Option(min=1, help="Most processes; default: as many as cores.")
    ] = None,
    ray_address: Annotated[
        str | None, typer.Option(help="A running Ray cluster; default: one on this machine.")
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Folder of finished trials; default: in the user's caches.")
    ] = None,
    budget_s: Annotated[
        float | None, typer.Option(min=0, help="No trial is begun after this many seconds.")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the summaries as JSON.")
    ] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the tables as Markdown.")] = None,
    plots: Annotated[
        Path | None, typer.Option(help="Folder for a picture of regret for each scenario.")
    ] = None,
    listing: Annotated[
        bool, typer.Option("--list", help="List scenarios and policies, and run nothing.")
    ] = False,
) -> None:
    """Run policies on scenarios on the virtual clock, and measure them against the truth.

    Finished trials are kept and not run again while code and packages stay as they are: after
    Ctrl-C, or when the budget is used up, the same command goes on. Exit code 1 says that a trial
    has failed.
    """
    # Before NumPy is loaded, here and in the processes to come: trials are many, cores are few.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    begin_before_s = math.inf if budget_s is None else time.time() + budget_s
    with clear_errors():
        from autosteer.bench.campaign import Campaign, default_folder
        from autosteer.bench.entries import OWN, PolicyEntry
        from autosteer.cli._trials import cells_of
        from autosteer.sims.scenarios import scenarios

        if listing:
            _print_listing()
            return
        chosen = _chosen(scenario, scenarios())
        entries = [PolicyEntry.parse(text) for text in dict.fromkeys(policy or OWN)]
        campaign = Campaign(cache or default_folder())
        cells = [
            cell
            for one in chosen
            for entry in entries
            for cell in cells_of(one, entry, range(1, seeds + 1), overrides or ())
        ]
        # Seed by seed: whatever is there in the end, there is as much of all.
        cells.sort(key=lambda cell: cell.seed)
        results: Results = {}
        for cell in cells:
            results.setdefault((cell.scenario, cell.policy), {})[cell.seed] = campaign.kept(cell)
        left = [cell for cell in cells if results[cell.scenario, cell.policy][cell.seed] is None]
        interrupted = False
        try:
            if left:
                with _executor(executor, processes, ray_address, begin_before_s) as workers:
                    _run(campaign, left, workers, results, n_kept=len(cells) - len(left))
        except KeyboardInterrupt:
            interrupted = True
            print_error("interrupted: the same command goes on from here")
        _report(chosen, results, level, json_file, markdown, plots)
        if interrupted:
            raise typer.Exit(_INTERRUPTED)
        if _any_failed(results):
            raise typer.Exit(1)


def _chosen(names: Sequence[str] | None, known: Mapping[str, Scenario]) -> list[Scenario]:
    """Find the scenarios that are asked for."""
    from autosteer.contracts import NameResolutionError
    from autosteer.sims.scenarios import Scenario

    chosen = []
    for name in dict.fromkeys(names or known):
        if name in known:
            chosen.append(known[name])
        elif Path(name).is_file():
            chosen.append(Scenario.from_file(Path(name)))
        else:
            raise NameResolutionError(
                f"'{name}' is neither an experiment file nor a scenario ({', '.join(known)})"
            )
    return chosen


def _print_listing() -> None:
    from rich.table import Table

    from autosteer.bench.entries import known_policies
    from autosteer.sims.scenarios import scenarios

    found = Table("scenario", "title", "tags", box=None, padding=(0, 2))
    for one in scenarios().values():
        found.add_row(one.name, one.title, ", ".join(sorted(one.tags)))
    classes = Table("policy", "class", box=None, padding=(0, 2))
    for name, class_name in known_policies().items():
        classes.add_row(name, class_name)
    console = wide_console()
    console.print(found)
    console.print(classes)


def _executor(
    where: Where, processes: int | None, ray_address: str | None, begin_before_s: float
) -> Executor:
    """Choose where trials are run."""
    from functools import partial

    from autosteer.analysis.executors import InProcessExecutor, ProcessExecutor
    from autosteer.analysis.ray_executor import RayExecutor
    from autosteer.cli._trials import prepare

    make = partial(prepare, begin_before_s)
    most = processes or os.cpu_count() or 1
    if where is Where.ray:
        return RayExecutor(make, most, address=ray_address)
    if most == 1:
        return InProcessExecutor(make)
    return ProcessExecutor(partial(make, alone=True), most)


def _run(
    campaign: Campaign, cells: Sequence[Cell], workers: Executor, results: Results, n_kept: int
) -> None:
    """Run what is left, and show how far it is."""
    from autosteer.bench import Course
    from autosteer.cli._progress import progress_of

    late = 0
    with progress_of(len(cells), n_kept) as advance:
        for cell, result in campaign.run(cells, workers):
            results[cell.scenario, cell.policy][cell.seed] = result
            if isinstance(result, Course):
                what = f"{result.wall_s:.1f} s"
            elif result.kind == "late":
                late += 1
                continue
            else:
                what = f"{result.kind}: {result.message}"
            advance(f"{cell.scenario}, {cell.policy}, seed {cell.seed}: {what}")
    if late:
        print_error(f"{late} trials were not begun in time: the same command goes on from here")


def _report(
    chosen: Sequence[Scenario],
    results: Results,
    level: float,
    json_file: Path | None,
    markdown: Path | None,
    plots: Path | None,
) -> None:
    """Print tables of what is there, and write what is asked for."""
    from rich.markup import escape
    from rich.table import Table

    from autosteer.bench import summarize
    from autosteer.bench.tables import json_of, markdown_of, notes_of, rows_of

    console = wide_console()
    made = _provenance()
    documents = []
    pages = [
        f"```console\n{made['command']}\n```\n\nprinted this on {made['date']} ({made['state']})."
    ]
    for one in chosen:
        here = {policy: seeds for (name, policy), seeds in results.items() if name == one.name}
        summaries = [summarize(policy, seeds, level) for policy, seeds in here.items()]
        headings, rows = rows_of(summaries, level)
        notes = list(notes_of(summaries))
        table = Table(box=None, padding=(0, 2, 0, 0))
        for heading in headings:
            # A narrow terminal breaks cells rather than leave columns out.
            keep = heading != "policy" and not console.is_terminal
            width = min(max(map(len, here)), _NAME_WIDTH) if heading == "policy" else 4
            table.add_column(escape(heading), overflow="fold", no_wrap=keep, min_width=width)
        for row in rows:
            table.add_row(*map(escape, row))
        print_line(f"{one.name}: {one.title}")
        console.print(table)
        print_line("".join(f"{note}\n" for note in notes))
        pages.append(f"### {one.name}\n\n{one.title}\n\n{markdown_of(headings, rows)}")
        pages += [f"*{note}*" for note in notes]
        documents.append({
            "scenario": one.name,
            "title": one.title,
            "policies": [json_of(summary) for summary in summaries],
        })
        if plots is not None:
            _draw(plots, one, here)
    if json_file is not None:
        import json

        document = {**made, "level": level, "scenarios": documents}
        json_file.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    if markdown is not None:
        markdown.write_text("\n\n".join(pages) + "\n", encoding="utf-8")


def _provenance() -> dict[str, str]:
    """Say when and how tables were made."""
    import shlex
    import sys
    from datetime import UTC, datetime

    from autosteer import __version__
    from autosteer.bench.fingerprint import fingerprint

    return {
        "command": shlex.join(["autosteer", *sys.argv[1:]]),
        "date": datetime.now(UTC).date().isoformat(),
        "state": f"autosteer {__version__}, code {fingerprint()}",
    }


def _draw(folder: Path, one: Scenario, results: Mapping[str, Mapping[int, Result | None]]) -> None:
    """Draw a scenario of which there is anything."""
    from autosteer.bench import Course
    from autosteer.bench.figures import draw_scenario

    courses = {
        policy: [result for result in seeds.values() if isinstance(result, Course)]
        for policy, seeds in results.items()
    }
    if any(courses.values()):
        folder.mkdir(parents=True, exist_ok=True)
        draw_scenario(folder / f"{one.name}.png", f"{one.name}: {one.title}", courses)


def _any_failed(results: Results) -> bool:
    from autosteer.bench import Unfinished

    return any(
        isinstance(result, Unfinished) and result.kind == "failed"
        for seeds in results.values()
        for result in seeds.values()
    )
