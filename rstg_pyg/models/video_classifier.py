"""The video classifier: backbone, recurrent graph or what stands in its place, head."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from rstg_pyg.evaluation import evaluation_mode
from rstg_pyg.models.box_rstg_to_vec import BoxRSTGToVec
from rstg_pyg.models.class_tree import build
from rstg_pyg.models.model_folder import (
    clip_shape,
    complete_config,
    copy_state,
    find_folder,
    load_weights,
    read_config,
    write_folder,
)
from rstg_pyg.nn.time_stage import State


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

    Raises:
        ValueError: If ``hidden_channels`` is not positive, or ``dropout`` not in [0, 1].
    """

    def __init__(
        self, in_channels: int, num_classes: int, hidden_channels: int | None = None, dropout: float = 0.0
    ) -> None:
        if hidden_channels is not None and hidden_channels < 1:
            raise ValueError(f"Expected 'hidden_channels' to be positive or None (got {hidden_channels})")
        layers: list[nn.Module] = []
        if hidden_channels is not None:
            layers = [nn.LayerNorm(in_channels), nn.Linear(in_channels, hidden_channels), nn.ReLU()]
        if dropout != 0:
            layers.append(nn.Dropout(dropout))
        super().__init__(*layers, nn.Linear(hidden_channels or in_channels, num_classes))


class VideoClassifier(nn.Module):
    r"""Backbone, recurrent graph and head joined into a classifier of clips.

    Args:
        backbone: ``[B, T, channels, H, W]`` video in [0, 1] → ``[B, T, C, h, w]`` features.
        graph: Features → ``[B, D]`` vector, such as :class:`rstg_pyg.nn.RSTGToVec`, or a baseline in its place
            (:class:`MeanPoolLSTM`, :class:`ConvNetLSTM`, :class:`GlobalAveragePool`); it is given ``lengths``,
            ``boxes`` and ``return_attention_weights`` only where :meth:`forward` is.
        head: Vector → ``[B, classes]`` logits.

    Shapes:
        - **input:** video :math:`(B, T, \text{channels}, H, W)` in [0, 1]
        - **output:** logits :math:`(B, \text{classes})`

    Attributes:
        config: What :meth:`from_config` built it from, or None.
    """

    def __init__(self, backbone: nn.Module, graph: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.graph = graph
        self.head = head
        self.config: dict[str, Any] | None = None

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Build a classifier, with random weights, from plain values.

        Args:
            config: What ``config.json`` holds:

                - ``network``: The tree of LightningCLI configs, ``{"class_path": "rstg_pyg.VideoClassifier",
                  "init_args": {"backbone": {"class_path": ..., "init_args": ...}, ...}}``, of classes of ``rstg_pyg``
                  alone.
                - ``class_names``: The name of every class, in the order of the logits.
                - ``input``: The clips it is made for: ``channels``, ``num_frames``, ``frame_size`` ``[H, W]`` and
                  ``value_range`` ``[low, high]``.
                - ``format_version`` and ``rstg_pyg_version``: Of the file and of the package that made it; may be left
                  out.

        Raises:
            ValueError: If keys or values are not as described, the format is newer than this package, a class is not of
                ``rstg_pyg``, or its arguments do not fit.
        """
        config = complete_config(config)
        network = build(config["network"])
        if not isinstance(network, cls):
            raise ValueError(f"Expected 'network' to be a {cls.__name__} (got a {type(network).__name__})")
        network.config = config
        return network

    @classmethod
    def from_pretrained(cls, name_or_folder: str | Path) -> Self:
        """Load a model that ships with the package, or a folder that :meth:`save_pretrained` wrote.

        The model is in eval mode. Every parameter takes gradients, a backbone that was frozen in its training too.

        Args:
            name_or_folder: Name of a shipped model, or a folder with ``config.json`` and ``model.safetensors``. A
                string that names a shipped model means that model, whatever folders there are.

        Raises:
            FileNotFoundError: If there is no such folder or model (the error lists those that ship), or a file is
                missing in it.
            ValueError: If a file is damaged, or for what :meth:`from_config` raises, or the tensors are not exactly the
                network's.
        """
        folder = find_folder(name_or_folder)
        config = read_config(folder)
        network, named = cls.from_config(config), len(config["class_names"])
        load_weights(network, folder)
        told = [module.out_features for module in network.head.modules() if isinstance(module, nn.Linear)][-1:]
        if told not in ([], [named]):
            raise ValueError(
                f"Expected 'class_names' in {folder} to hold a name for each of {told[0]} classes (got {named})"
            )
        return network.eval()

    def save_pretrained(self, folder: str | Path, card: str | Path | None = None) -> None:
        """Write the model as a folder: ``config.json``, ``model.safetensors`` and, with a card, ``README.md``.

        The layout is that of a repository of the Hugging Face Hub. What is written is a copy built anew from
        ``config``, tried on a clip first.

        Args:
            folder: Where to write; config and weights that are there already are replaced.
            card: The model card, a Markdown file; None leaves the folder's ``README.md`` as it is.

        Raises:
            ValueError: If the model was not built by :meth:`from_config` or takes boxes, its tensors or what it does
                with them are not those of its ``config`` any more, they are not float32 or not known before a first
                clip, or it does not give one logit for each of ``class_names``.
            FileExistsError: If a card is given and the folder has one.
            FileNotFoundError: If the card is not there.
        """
        if self.config is None:
            raise ValueError(
                "Expected a classifier made by 'from_config', which can be built again from plain values (got one made "
                "of Python objects)"
            )
        if isinstance(self.graph, BoxRSTGToVec):
            raise ValueError("Expected a classifier of videos alone (got one that takes boxes)")
        unknown = [name for name, tensor in self.state_dict().items() if is_lazy(tensor)]
        if unknown:
            raise ValueError(
                f"Expected a classifier that has seen a clip, from which '-1' is derived (got none for {unknown})"
            )
        with torch.random.fork_rng(devices=[]):  # saving in the middle of a training changes nothing of it
            copy, clip = self.from_config(self.config), torch.rand(1, *clip_shape(self.config))
        copy_state(self.state_dict(), copy, name="state_dict")
        with torch.no_grad(), evaluation_mode(self):
            logits, own = copy.eval()(clip), self(clip.to(next(self.parameters()).device)).cpu()
        if logits.shape != (1, len(self.config["class_names"])):
            raise ValueError(
                f"Expected 'class_names' to hold a name for each of {logits.size(-1)} classes "
                f"(got {len(self.config['class_names'])})"
            )
        if not torch.allclose(logits, own, rtol=1e-3, atol=1e-3):
            raise ValueError("Expected the classifier to be what its 'config' says (got other logits of a random clip)")
        write_folder(folder, self.config, copy, card)

    def forward(
        self,
        video: Tensor,
        lengths: Tensor | None = None,
        return_attention_weights: bool = False,
        boxes: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Classify clips.

        Args:
            video: ``[B, T, channels, H, W]`` in [0, 1].
            lengths: ``[B]`` int64, valid frames of each clip, for backbones that read every frame by itself.
            return_attention_weights: Also return the attention ``[B, T, K, E]``.
            boxes: ``[B, T, n, 4]`` tracked boxes, for a graph that takes them (:class:`BoxRSTGToVec`).

        Returns:
            ``[B, classes]`` logits, with the attention if asked for.

        Raises:
            ValueError: If ``video`` has the wrong rank or is not floating point, or ``lengths`` are given and the
                backbone says by an attribute ``frames_alone`` that it looks at frames together, or gives fewer steps
                than there are frames.
        """
        if video.dim() != 5:
            raise ValueError(f"Expected 'video' to be of shape [B, T, channels, H, W] (got {list(video.shape)})")
        if not video.is_floating_point():
            raise ValueError(f"Expected 'video' to be of floating point type, in [0, 1] (got {video.dtype})")
        features = self.backbone(video)
        frames_alone = getattr(self.backbone, "frames_alone", True)
        if lengths is not None and not (frames_alone and features.size(1) == video.size(1)):
            raise ValueError(
                "Expected 'lengths' to be None behind a backbone that looks at frames together (got "
                f"{type(self.backbone).__name__}, which gives {features.size(1)} steps for {video.size(1)} frames): a "
                "step looks at padding and at valid frames"
            )
        given = {"lengths": lengths, "boxes": boxes}
        options = {name: value for name, value in given.items() if value is not None}
        if return_attention_weights:
            vector, alpha = self.graph(features, return_attention_weights=True, **options)
            return self.head(vector), alpha
        return self.head(self.graph(features, **options))

    def step(self, frame: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Classify streams after their next frames: the logits of the clips that end there.

        For backbones that read every frame by itself, and graphs with a ``step`` of their own such as
        :class:`rstg_pyg.nn.RSTGToVec`. :func:`rstg_pyg.stream` makes sure of both.

        Args:
            frame: ``[B, channels, H, W]`` in [0, 1].
            state: State returned by the previous step; None at the first frame.

        Returns:
            ``[B, classes]`` logits and the state, a tuple of ``[B, ...]`` tensors whose size does not depend on the
            number of frames. Zeros in a sample's part of each make its next frame the first.

        Raises:
            ValueError: If ``frame`` or ``state`` has the wrong shape or type, or the graph has no ``step``.
        """
        step = getattr(self.graph, "step", None)
        if not callable(step):
            raise ValueError(
                f"Expected 'graph' to have a method 'step', as RSTGToVec does, to take a video frame by frame (got "
                f"{type(self.graph).__name__})"
            )
        if frame.dim() != 4:
            raise ValueError(f"Expected 'frame' to be of shape [B, channels, H, W] (got {list(frame.shape)})")
        if not frame.is_floating_point():
            raise ValueError(f"Expected 'frame' to be of floating point type, in [0, 1] (got {frame.dtype})")
        vector, state = step(self.backbone(frame[:, None])[:, 0], state)
        return self.head(vector), state
