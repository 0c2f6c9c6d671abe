"""The loss of a backbone's features: do they tell which digits a frame shows, and where?"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rstg_pyg import GridPyramid
from rstg_pyg.nn.norm import normalize_nodes


class DigitLoss(nn.Module):
    """Reads the digits out of features, with a linear layer, and says how far off that is.

    What is read are the nodes of a :class:`~rstg_pyg.GridPyramid`, as their averages are all that the graph gets of the
    features. The loss is the cross-entropy of the classes shown, all equally likely, and ``locate_weight`` times a
    smooth L1 distance of the places.

    Args:
        channels: Channels C of the features.
        num_classes: Number of classes.
        locate_weight: Weight of the loss of the places; 0 leaves it out.
        weight: Weight of all of it beside another loss.

    Raises:
        ValueError: If a weight is negative.
    """

    def __init__(
        self,
        channels: int,
        num_classes: int = 10,
        locate_weight: float = 20.0,
        weight: float = 1.0,
    ) -> None:
        super().__init__()
        for name, value in (("locate_weight", locate_weight), ("weight", weight)):
            if value < 0:
                raise ValueError(f"Expected '{name}' to be at least 0 (got {value})")
        self.num_classes = num_classes
        self.locate_weight = locate_weight
        self.weight = weight
        self.pyramid = GridPyramid()
        self.read = nn.Sequential(
            nn.BatchNorm1d(channels),
            nn.Flatten(),
            nn.Linear(self.pyramid.num_nodes * channels, 3 * num_classes),
            nn.Unflatten(1, (num_classes, 3)),
        )

    def digits(self, features: Tensor) -> Tensor:
        """Read features ``[B, C, h, w]``: ``[B, num_classes, 3]``, logit, row and column of each class."""
        norm, read = self.read[0], self.read[1:]
        return read(normalize_nodes(norm, self.pyramid.pool(features)))

    def forward(self, features: Tensor, centre: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of the features of frames.

        Args:
            features: ``[B, C, h, w]``.
            centre: ``[B, num_classes, 2]``, row and column of each class's centre in shares of the frame's side, NaN
                for those that a frame does not show; every frame shows at least one.

        Returns:
            The loss, and scores: ``acc``, see :func:`accuracy`, and with ``locate_weight`` ``distance``, the mean
            distance between a digit's centre and where it is said to be, in percent of the frame's side.

        Raises:
            ValueError: If ``centre`` has the wrong shape.
        """
        if list(centre.shape) != [len(features), self.num_classes, 2]:
            raise ValueError(
                f"Expected 'centre' to be of shape {[len(features), self.num_classes, 2]}, as there are "
                f"{len(features)} frames of features (got {list(centre.shape)})"
            )
        shown = ~centre.isnan().any(dim=-1)
        logits, place = self.digits(features).float().split([1, 2], dim=-1)
        logits = logits.squeeze(-1)
        loss = F.cross_entropy(logits, shown.float() / shown.sum(dim=1, keepdim=True))
        scores = {"acc": accuracy(logits.detach(), shown)}
        if self.locate_weight > 0:
            error = (place - centre)[shown]  # [digits, 2]
            loss = loss + self.locate_weight * F.smooth_l1_loss(error, torch.zeros_like(error), beta=0.05)
            scores["distance"] = 100 * error.detach().norm(dim=-1).mean()
        return self.weight * loss, scores


def accuracy(logits: Tensor, shown: Tensor) -> Tensor:
    """Share of the classes shown that are among as many most likely ones, meaned over frames.

    Args:
        logits: ``[B, num_classes]``.
        shown: ``[B, num_classes]`` bool, at least one in each frame.
    """
    number = shown.sum(dim=1, keepdim=True)
    rank = logits.argsort(dim=1, descending=True).argsort(dim=1)
    return ((shown & (rank < number)).sum(dim=1) / number[:, 0]).mean()
