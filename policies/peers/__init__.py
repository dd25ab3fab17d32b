"""Other people's optimizers as policies, and policies as their optimizers.

The packages come with ``pip install 'autosteer[peers]'``; each is imported when its policy is made.
"""

from autosteer.policies.peers.ax import AxPolicy
from autosteer.policies.peers.blop import BlopPolicy
from autosteer.policies.peers.optuna import OptunaPolicy
from autosteer.policies.peers.outward import as_blop_optimizer, as_gest_generator
from autosteer.policies.peers.vocs import problem_of_vocs, vocs_of_problem
from autosteer.policies.peers.xopt import XoptPolicy

__all__ = [
    "AxPolicy",
    "BlopPolicy",
    "OptunaPolicy",
    "XoptPolicy",
    "as_blop_optimizer",
    "as_gest_generator",
    "problem_of_vocs",
    "vocs_of_problem",
]
