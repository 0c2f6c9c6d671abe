"""A check that transforms of a clip share."""

from typing import Any

from torch_geometric.data import Batch


def check_one_clip(data: Any) -> None:
    """Raise a ValueError for a batch, all of whose clips a transform would take for one."""
    if isinstance(data, Batch):
        raise ValueError(
            f"Expected 'data' to be of one clip (got a batch of {data.num_graphs}): make graphs before batching"
        )
