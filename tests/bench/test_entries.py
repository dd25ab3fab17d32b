"""Policies as they are named on the command line."""

from __future__ import annotations

import pytest

from autosteer.bench import PolicyEntry
from autosteer.bench.entries import OWN, known_policies
from autosteer.cli._names import resolve

BAYES = OWN["bayes"]


@pytest.mark.parametrize(
    ("text", "class_name", "overrides"),
    [
        ("bayes", BAYES, ()),
        ("my.package:Policy", "my.package:Policy", ()),
        ("elsewhere", "elsewhere", ()),
        ("bayes, dwell.motion=tag", BAYES, ("dwell.motion=tag",)),
        (
            "bayes,policy.options={a: 1, b: [2, 3]},dwell.shots=9",
            BAYES,
            ("policy.options={a: 1, b: [2, 3]}", "dwell.shots=9"),
        ),
    ],
)
def test_overrides_stand_behind_commas(
    text: str, class_name: str, overrides: tuple[str, ...]
) -> None:
    assert PolicyEntry.parse(text) == PolicyEntry(text, class_name, overrides)


def test_options_of_the_file_are_those_of_its_own_policy_only() -> None:
    file = {"class": BAYES, "options": {"link": "auto"}}
    assert PolicyEntry.parse("bayes,dwell.shots=9").overrides_for(file) == ["dwell.shots=9"]
    named = [f"policy.class={OWN['random']}", "policy.options={}"]
    assert PolicyEntry.parse("random").overrides_for(file) == named
    assert PolicyEntry.parse("random").overrides_for(None) == named


def test_every_short_name_leads_to_a_policy() -> None:
    assert set(OWN) <= set(known_policies())
    for class_name in OWN.values():
        assert hasattr(resolve(class_name, "autosteer.policies"), "suggest")
