"""Accuracy among the two classes of a pair."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric


class PairAccuracy(Metric):
    """How often, of the two classes of a label's pair, the label scores higher: 0.5 for a guess.

    What tells the pairs apart plays no part. A tie counts half. Labels that are in no pair are left out; without any
    other the value is NaN.

    Args:
        pairs: The pairs of labels; no label is in two of them.
        num_classes: Number of classes.

    Raises:
        ValueError: If a pair is not two labels in [0, `num_classes`), or a label is in two pairs.
    """

    full_state_update = False
    higher_is_better = True
    partners: Tensor
    halves: Tensor
    total: Tensor

    def __init__(self, pairs: Sequence[tuple[int, int]], num_classes: int) -> None:
        super().__init__()
        labels = [label for pair in pairs for label in pair]
        if any(len(pair) != 2 for pair in pairs) or not all(0 <= label < num_classes for label in labels):
            raise ValueError(f"Expected 'pairs' to be pairs of labels in [0, {num_classes}) (got {list(pairs)})")
        if len(set(labels)) < len(labels):
            raise ValueError(f"Expected 'pairs' to have no label twice (got {list(pairs)})")
        partners = torch.full((num_classes,), -1)
        for first, second in pairs:
            partners[first], partners[second] = second, first
        self.register_buffer("partners", partners, persistent=False)
        self.add_state("halves", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("total", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, logits: Tensor, label: Tensor) -> None:
        """Count ``[B, num_classes]`` logits of videos with labels ``[B]``."""
        paired = self.partners[label] >= 0
        logits, label = logits[paired], label[paired]
        label_score = logits.gather(1, label[:, None])
        partner_score = logits.gather(1, self.partners[label][:, None])
        self.halves += ((label_score - partner_score).sign() + 1).sum().long()
        self.total += len(label)

    def compute(self) -> Tensor:
        """The share, of all that was counted."""
        return self.halves / (2 * self.total)
