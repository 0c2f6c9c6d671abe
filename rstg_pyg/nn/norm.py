"""Normalisation of node features with any number of leading dimensions."""

from torch import Tensor, nn

NORMS = ("layer", "batch", None)


def node_norm(norm: str | None, channels: int) -> nn.Module:
    """Build the normalisation that an argument ``norm`` asks for, to be applied by :func:`normalize_nodes`.

    Raises:
        ValueError: If ``norm`` is not one of ``"layer"``, ``"batch"`` and ``None``.
    """
    if norm not in NORMS:
        raise ValueError(f"Expected 'norm' to be one of {list(NORMS)} (got {norm!r})")
    if norm is None:
        return nn.Identity()
    return nn.LayerNorm(channels) if norm == "layer" else nn.BatchNorm1d(channels)


def normalize_nodes(norm: nn.Module, x: Tensor) -> Tensor:
    """Normalise ``[*, N, C]``, a batch norm over all leading dimensions and nodes.

    The flattening is not the norm's own, as :meth:`torch.nn.SyncBatchNorm.convert_sync_batchnorm` puts another one in
    its place.
    """
    if isinstance(norm, nn.LayerNorm | nn.Identity):
        return norm(x)
    return norm(x.flatten(end_dim=-2)).view_as(x)
