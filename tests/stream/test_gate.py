"""The gate: what is admitted from a run, and from outside of any."""

from __future__ import annotations

from typing import Any

import pytest

from autosteer.contracts import OUTSIDE_RUN, Header, StaleRunError
from autosteer.stream import Gate
from tests.stream.tables import RUN, header_of, machine

KEY = ("source", "machine")


def table(seq: int, **changes: Any) -> Header:
    changes = {"run_uid": OUTSIDE_RUN, "t_sent_ns": 100, "seq": seq, **changes}
    return header_of(machine([1, 2]), **changes)


def beat(seq: int, dropped: int, **changes: Any) -> Header:
    return table(seq, message="heartbeat", n=0, dropped=dropped, **changes)


def test_what_comes_from_outside_is_refused_unless_it_is_asked_for() -> None:
    with pytest.raises(StaleRunError, match="belongs to run outside"):
        Gate(RUN).admit(table(0))


def test_what_was_sent_before_the_run_is_refused() -> None:
    gate = Gate(RUN)
    gate.admit_outside(since_ns=50)
    with pytest.raises(StaleRunError, match="before the run"):
        gate.admit(table(7, t_sent_ns=49))
    gate.admit(table(8, t_sent_ns=50))
    assert gate.counters[KEY].messages == 1


def test_another_run_stays_refused() -> None:
    gate = Gate(RUN)
    gate.admit_outside(since_ns=0)
    with pytest.raises(StaleRunError, match="belongs to run another"):
        gate.admit(table(0, run_uid="another"))


def test_a_stream_that_began_before_the_run_has_lost_nothing_by_that() -> None:
    gate = Gate(RUN)
    gate.admit_outside(since_ns=0)
    gate.admit(table(1000))
    gate.admit(beat(1001, dropped=5000))
    assert gate.counters[KEY].lost_messages == 0
    assert gate.counters[KEY].dropped_shots == 0
    gate.admit(table(1003))
    gate.admit(beat(1004, dropped=5003))
    assert gate.counters[KEY].lost_messages == 2
    assert gate.counters[KEY].dropped_shots == 3


def test_a_producer_that_starts_anew_counts_from_zero() -> None:
    gate = Gate(RUN)
    gate.admit_outside(since_ns=0)
    gate.admit(table(1000))
    gate.admit(beat(1001, dropped=5000))
    gate.admit(beat(1001, dropped=5002))
    gate.admit(table(1, boot_uid="boot-2"))
    gate.admit(beat(2, dropped=4, boot_uid="boot-2"))
    assert gate.counters[KEY].restarts == 1
    assert gate.counters[KEY].lost_messages == 1
    assert gate.counters[KEY].dropped_shots == 6
