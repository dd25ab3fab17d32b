"""The bench: policies run on scenarios, over seeds, and are measured against the truth.

A trial is one run on the virtual clock and gives a `Course`; a campaign is many of them, shared
between processes and kept in a cache; summaries are what a table or a figure shows of them.
"""

from autosteer.bench.campaign import Campaign, Cell, Unfinished
from autosteer.bench.courses import Course
from autosteer.bench.entries import PolicyEntry
from autosteer.bench.summaries import Summary, summarize
from autosteer.bench.trials import run_trial

__all__ = [
    "Campaign",
    "Cell",
    "Course",
    "PolicyEntry",
    "Summary",
    "Unfinished",
    "run_trial",
    "summarize",
]
