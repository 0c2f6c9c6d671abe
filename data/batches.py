"""Batches that are made whole: items for whoever asks for items, the stacked tensors for the loader."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.utils.data import default_collate


class StackedItems(list):
    """The list of items that PyTorch's ``__getitems__`` protocol wants, which remembers the tensors it was cut from.

    Args:
        stacked: One tensor for each field of an item, stacked along dimension 0.
    """

    def __init__(self, stacked: Sequence[Tensor]) -> None:
        self.stacked = tuple(stacked)
        super().__init__(zip(*(field.unbind() for field in self.stacked), strict=True))


def collate_stacked(items: list) -> Any:
    """A ``collate_fn``: the stacked tensors of :class:`StackedItems`; other lists are collated as usual."""
    return items.stacked if isinstance(items, StackedItems) else default_collate(items)
