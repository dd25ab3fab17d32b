"""The page that goes with weights: what they come from, how good they are, and their limits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_LIMITS = """\
- Trained on simulated shots alone. Another spectrometer needs weights of its own: with lines of
  another shape, another number of bins, dead channels or other gains the figures above do not hold.
  `goodness` and `abstained` tell of some of that, not of all.
- The phase difference is folded to [0, pi]: neither the order of the sub-spikes nor whole periods
  of the laser between them are known.
- Of four or more sub-spikes only the phase of the strongest is given.
"""


def model_card(about: Mapping[str, Any], n_parameters: int) -> str:
    """Write the page.

    Parameters
    ----------
    about : mapping
        What is recorded with the weights.
    n_parameters : int
        Parameters of all networks.

    Returns
    -------
    str
        Markdown.
    """
    configuration = about["configuration"]
    lines = [
        f"# {configuration['network']}",
        "",
        f"{n_parameters:,} parameters. Counts sub-spikes in streaking sinograms and gives the "
        "phase between two of them and that of the strongest.",
        "",
        f"- Made on {about['date']} with autosteer {about['version']}, commit {about['commit']}, "
        "by `autosteer train pulses`",
        f"- Data: simulated shots of the preset `{configuration['preset']}`, seed "
        f"{configuration['seed']}, {configuration['shots']:,} for each network, none seen twice",
        "- Half of them as the preset has them, half with 1/4 to 4 times as many electrons and "
        "Poisson counts",
        "",
        "Configuration:",
        "",
        "```json",
        json.dumps(configuration, indent=1),
        "```",
        "",
        "## Figures",
        "",
        f"On {configuration['judged_shots']:,} fresh shots of each kind: an even mix of classes "
        "for numbers and strongest phases, shots of two sub-spikes for the phase between them.",
        "",
        *_table(about["figures"]),
        "",
        "## Limits",
        "",
        _LIMITS,
    ]
    return "\n".join(lines)


def _table(figures: Mapping[str, Mapping[str, Mapping[str, float]]]) -> list[str]:
    """Return the rows of a table with a column for each kind of shots."""
    kinds = list(figures)
    names = [kind.replace("_", " ") for kind in kinds]
    rows = [f"| figure | {' | '.join(names)} |", "|---|" + "---|" * len(kinds)]
    for part, scores in figures[kinds[0]].items():
        for name in scores:
            values = " | ".join(f"{figures[kind][part][name]:.4g}" for kind in kinds)
            rows.append(f"| {part}: {name.replace('_', ' ')} | {values} |")
    return rows
