"""PyG's plain route through the space stage."""

import copy
from typing import TypeVar

from torch import nn

from rstg_pyg.nn import RSTGConv

Network = TypeVar("Network", bound=nn.Module)


def plain_route(network: Network) -> Network:
    """A copy of a network whose space stages take PyG's plain route instead of the fused one."""
    plain = copy.deepcopy(network)
    for stage in plain.modules():
        if isinstance(stage, RSTGConv):
            stage.fused = False
    return plain
