"""CUDA graphs: a call that is captured once and replayed without launching each kernel anew."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_WARM_UP_CALLS = 3


def captured(function: Callable[[Tensor], Any], example: Tensor) -> Callable[[Tensor], Any]:
    """Capture a call on a CUDA device.

    Parameters
    ----------
    function : callable
        Gives a tensor, or a tuple of them, of a tensor; it must not depend on values.
    example : Tensor
        An argument; all later ones must have its shape, type and device.

    Returns
    -------
    callable
        The same function. What it gives is overwritten by its next call.
    """
    argument = example.clone()
    graph = torch.cuda.CUDAGraph()
    stream = torch.cuda.Stream(example.device)  # type: ignore[no-untyped-call]
    with torch.inference_mode(), torch.cuda.device(example.device):
        here = torch.cuda.current_stream()
        stream.wait_stream(here)
        # Libraries choose their algorithms in the first calls, which must not be captured.
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UP_CALLS):
                function(argument)
        here.wait_stream(stream)
        with torch.cuda.graph(graph):
            result = function(argument)

    def replay(given: Tensor) -> Any:
        argument.copy_(given)
        graph.replay()
        return result

    return replay
