"""The policies that a bench compares: their short names, and what else is changed for them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, Self

from autosteer.contracts import NameResolutionError

OWN: Mapping[str, str] = {
    "bandit": "autosteer.policies:BanditPolicy",
    "bayes": "autosteer.policies:BayesianPolicy",
    "extremum": "autosteer.policies:ExtremumSeeking",
    "follow": "autosteer.policies:FollowPolicy",
    "grid": "autosteer.policies:GridPolicy",
    "lines": "autosteer.policies:LineScanPolicy",
    "pareto": "autosteer.policies:ParetoPolicy",
    "random": "autosteer.policies:RandomPolicy",
    "trust": "autosteer.policies:TrustRegionPolicy",
}
"""Short names of the policies of this package."""

_GROUP = "autosteer.policies"
# A comma separates only where an override follows: values may hold commas.
_SEPARATOR = re.compile(r",\s*(?=[\w.-]+=)")


def known_policies() -> dict[str, str]:
    """Find the policies that have a short name.

    Returns
    -------
    dict of str to str
        Class by name: ours, then those that other packages add by entry points of the group
        ``autosteer.policies``.
    """
    return {**{point.name: point.value for point in entry_points(group=_GROUP)}, **OWN}


@dataclass(frozen=True, slots=True)
class PolicyEntry:
    """A policy, and how the experiment files are changed for it.

    Parameters
    ----------
    label : str
        What tables call it.
    class_name : str
        ``package.module:Class``, or the name of an entry point.
    overrides : tuple of str
        ``dotted.path=value`` for every experiment file that it runs on.
    """

    label: str
    class_name: str
    overrides: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an entry as it is written on the command line.

        Parameters
        ----------
        text : str
            A name, a class or an entry point; overrides behind commas.

        Returns
        -------
        PolicyEntry
            The entry.

        Raises
        ------
        NameResolutionError
            If the name is none that is known, and no class.

        Examples
        --------
        >>> entry = PolicyEntry.parse("bayes,dwell.motion=tag")
        >>> entry.class_name, entry.overrides
        ('autosteer.policies:BayesianPolicy', ('dwell.motion=tag',))
        """
        name, *overrides = (part.strip() for part in _SEPARATOR.split(text))
        known = known_policies()
        if ":" not in name and name not in known:
            names = ", ".join(sorted(known))
            raise NameResolutionError(
                f"'{name}' is neither package.module:Class nor a policy ({names})"
            )
        return cls(text, OWN.get(name, name), tuple(overrides))

    def overrides_for(self, policy: Mapping[str, Any] | None) -> list[str]:
        """Return all that is changed in an experiment file.

        Parameters
        ----------
        policy : mapping or None
            Section ``policy`` of the file; its options are kept where it names the same class.

        Returns
        -------
        list of str
            Overrides, ``dotted.path=value``.
        """
        if policy is not None and policy.get("class") == self.class_name:
            return list(self.overrides)
        named = [f"policy.class={self.class_name}", "policy.options={}"]
        return [*named, *self.overrides]
