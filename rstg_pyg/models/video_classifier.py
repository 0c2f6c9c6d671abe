"""The video classifier: backbone, recurrent graph or what stands in its place, head."""

from torch import Tensor, nn


class ClassifierHead(nn.Sequential):
    r"""Class scores of a clip's vector.

    With ``hidden_channels=None`` one linear layer (the paper's); otherwise a LayerNorm and a small MLP, which learns
    faster from scratch.

    Args:
        in_channels: Size D of the vector.
        num_classes: Number of classes.
        hidden_channels: Width of the MLP's hidden layer, or None.
        dropout: Dropout before the last layer.

    Shapes:
        - **input:** vector :math:`(B, D)`
        - **output:** logits :math:`(B, \text{num\_classes})`
    """

    def __init__(
        self, in_channels: int, num_classes: int, hidden_channels: int | None = None, dropout: float = 0.0
    ) -> None:
        layers: list[nn.Module] = []
        if hidden_channels is not None:
            layers = [nn.LayerNorm(in_channels), nn.Linear(in_channels, hidden_channels), nn.ReLU()]
        if dropout > 0:
            layers.append(nn.Dropout(dropout))
        super().__init__(*layers, nn.Linear(hidden_channels or in_channels, num_classes))


class VideoClassifier(nn.Module):
    r"""Backbone, recurrent graph and head joined into a classifier of clips.

    Args:
        backbone: ``[B, T, channels, H, W]`` video in [0, 1] → ``[B, T, C, h, w]`` features.
        graph: Features → ``[B, D]`` vector, such as :class:`rstg_pyg.nn.RSTGToVec`, or a baseline in its place
            (:class:`MeanPoolLSTM`, :class:`ConvNetLSTM`, :class:`GlobalAveragePool`); it is given ``lengths`` and
            ``return_attention_weights`` only where :meth:`forward` is.
        head: Vector → ``[B, classes]`` logits.

    Shapes:
        - **input:** video :math:`(B, T, \text{channels}, H, W)` in [0, 1]
        - **output:** logits :math:`(B, \text{classes})`
    """

    def __init__(self, backbone: nn.Module, graph: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.graph = graph
        self.head = head

    def forward(
        self, video: Tensor, lengths: Tensor | None = None, return_attention_weights: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Classify clips.

        Args:
            video: ``[B, T, channels, H, W]`` in [0, 1].
            lengths: ``[B]`` int64, valid frames of each clip.
            return_attention_weights: Also return the attention ``[B, T, K, E]``.

        Returns:
            ``[B, classes]`` logits, with the attention if asked for.

        Raises:
            ValueError: If ``video`` has the wrong rank or is not floating point.
        """
        if video.dim() != 5:
            raise ValueError(f"Expected 'video' to be of shape [B, T, channels, H, W] (got {list(video.shape)})")
        if not video.is_floating_point():
            raise ValueError(f"Expected 'video' to be of floating point type, in [0, 1] (got {video.dtype})")
        features = self.backbone(video)
        options = {} if lengths is None else {"lengths": lengths}
        if return_attention_weights:
            vector, alpha = self.graph(features, return_attention_weights=True, **options)
            return self.head(vector), alpha
        return self.head(self.graph(features, **options))
