"""Checks that a policy keeps the seam: for tests of ours, of wrapped peers, and of your own."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from autosteer.contracts import PolicyError
from autosteer.policies._conformance_checks import CHECKS, Check, MakePolicy, Trying

__all__ = ["CHECKS", "Finding", "assert_policy", "check_policy"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a policy should do otherwise.

    Parameters
    ----------
    check : str
        Name of the check.
    message : str
        What it found.
    """

    check: str
    message: str


def check_policy(
    make: MakePolicy, *, rounds: int = 8, without: Collection[str] = ()
) -> list[Finding]:
    """Try a policy on everything that the loop relies on.

    Parameters
    ----------
    make : callable
        Makes a policy for a problem, with few opening points: the policy's model should be at work
        after `rounds` points.
    rounds : int, default 8
        Points measured before a policy counts as having learned something.
    without : collection of str, optional
        Names of checks to leave out, of those in `CHECKS`.

    Returns
    -------
    list of Finding
        What is wrong; empty for a policy that keeps the seam.

    Raises
    ------
    PolicyError
        If `without` names no check.

    Examples
    --------
    >>> from autosteer.policies import RandomPolicy
    >>> check_policy(RandomPolicy, without=["places of stepped knobs"])
    []
    """
    unknown = sorted(set(without) - set(CHECKS))
    if unknown:
        raise PolicyError(f"there is no check '{unknown[0]}': there are {', '.join(CHECKS)}")
    findings = []
    for name, check in CHECKS.items():
        if name not in without:
            findings += [Finding(name, message) for message in _messages(check, make, rounds)]
    return findings


def assert_policy(make: MakePolicy, *, rounds: int = 8, without: Collection[str] = ()) -> None:
    """Try a policy, and raise if anything is wrong with it: one line of a test.

    Parameters
    ----------
    make : callable
        Makes a policy for a problem.
    rounds : int, default 8
        Points measured before a policy counts as having learned something.
    without : collection of str, optional
        Names of checks to leave out.

    Raises
    ------
    PolicyError
        With everything that was found.
    """
    findings = check_policy(make, rounds=rounds, without=without)
    if findings:
        lines = "\n".join(f"  {finding.check}: {finding.message}" for finding in findings)
        raise PolicyError(f"the policy does not keep the seam:\n{lines}")


def _messages(check: Check, make: MakePolicy, rounds: int) -> list[str]:
    """Run one check; what it raises is a finding, and harms no other check."""
    messages: list[str] = []
    try:
        messages.extend(check(Trying(make, rounds)))
    except Exception as error:
        messages.append(f"it raised {type(error).__name__}: {error}")
    return messages
