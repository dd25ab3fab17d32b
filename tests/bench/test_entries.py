"""Policies as they are named on the command line."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from autosteer.bench import PolicyEntry
from autosteer.bench.entries import OWN, known_policies
from autosteer.cli._names import resolve
from autosteer.contracts import NameResolutionError

BAYES = OWN["bayes"]


@pytest.mark.parametrize(
    ("text", "class_name", "overrides"),
    [
        ("bayes", BAYES, ()),
        ("my.package:Policy", "my.package:Policy", ()),
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


def test_entry_points_keep_their_name_and_others_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    point = EntryPoint("elsewhere", "my.package:Policy", "autosteer.policies")
    monkeypatch.setattr("autosteer.bench.entries.entry_points", lambda **_: (point,))
    assert PolicyEntry.parse("elsewhere").class_name == "elsewhere"
    with pytest.raises(NameResolutionError, match=r"'nowhere' is neither .* bayes, elsewhere"):
        PolicyEntry.parse("nowhere")


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
