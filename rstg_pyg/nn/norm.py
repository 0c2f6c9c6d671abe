"""Normalisation of node features with any number of leading dimensions."""

from torch import Tensor, nn

NORMS = ("layer", "batch", None)


class NodeBatchNorm(nn.BatchNorm1d):
    """Batch normalisation of ``[*, N, C]`` over all leading dimensions and nodes."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise ``[*, N, C]``."""
        return super().forward(input.flatten(end_dim=-2)).view_as(input)


def node_norm(norm: str | None, channels: int) -> nn.Module:
    """Build the normalisation of ``[*, N, channels]`` that an argument ``norm`` asks for.

    Raises:
        ValueError: If ``norm`` is not one of ``"layer"``, ``"batch"`` and ``None``.
    """
    if norm not in NORMS:
        raise ValueError(f"Expected 'norm' to be one of {list(NORMS)} (got {norm!r})")
    if norm is None:
        return nn.Identity()
    return nn.LayerNorm(channels) if norm == "layer" else NodeBatchNorm(channels)
