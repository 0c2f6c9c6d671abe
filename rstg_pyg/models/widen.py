"""A trained classifier with wider nodes, to go on learning from."""

import copy

import torch
from torch import Generator, Tensor, nn

from rstg_pyg.models.model_folder import copy_state
from rstg_pyg.models.video_classifier import ClassifierHead, VideoClassifier
from rstg_pyg.nn.rstg import RSTG
from rstg_pyg.nn.rstg_to_vec import RSTGToVec


def widen(classifier: VideoClassifier, seed: int = 0) -> VideoClassifier:
    r"""The same function with twice the node channels D (Chen, Goodfellow and Shlens 2016, "Net2Net").

    Every channel of nodes, messages and memories is there twice. What a layer took from it, it takes in two shares from
    the two, drawn between 0.2 and 0.8 for each weight, so that the copies learn different things. The graph then begins
    with a linear layer, also where it had none.

    Args:
        classifier: An :class:`~rstg_pyg.nn.RSTGToVec` and a :class:`ClassifierHead` behind any backbone, made by
            :meth:`VideoClassifier.from_config`.
        seed: Seed of the shares.

    Returns:
        The wider classifier, in eval mode on the CPU; every parameter takes gradients.

    Raises:
        ValueError: If the classifier is of other parts, has no config, its graph was to derive its channels from an
            input, or the features have :math:`2D` channels, with which a graph begins without the linear layer.
    """
    graph, head = classifier.graph, classifier.head
    if type(graph) is not RSTGToVec or type(head) is not ClassifierHead:
        raise ValueError(
            "Expected 'classifier' to hold an RSTGToVec and a ClassifierHead "
            f"(got {type(graph).__name__} and {type(head).__name__})"
        )
    if classifier.config is None:
        raise ValueError("Expected 'classifier' to be made by 'from_config' (got one made of Python objects)")
    channels = graph.rstg.hidden_channels
    if graph.rstg.in_channels == -1:
        raise ValueError("Expected 'classifier' to have a graph that was told its 'channels' (got -1)")
    if graph.rstg.in_channels == 2 * channels:
        raise ValueError(
            "Expected 'classifier' to have other than half as many node channels as features have channels, as a graph "
            f"with as many begins without a linear layer (got {channels} and {graph.rstg.in_channels})"
        )
    config = copy.deepcopy(classifier.config)
    network = config["network"]["init_args"]
    network["graph"]["init_args"]["node_channels"] = 2 * channels
    network["head"]["init_args"]["in_channels"] = 2 * channels
    with torch.random.fork_rng(devices=[]):
        wide = VideoClassifier.from_config(config)

    generator = torch.Generator().manual_seed(seed)
    state = {name: value.cpu() for name, value in classifier.state_dict().items()}
    state |= {f"graph.rstg.{name}": value for name, value in _widen_graph(graph.rstg, generator).items()}
    state |= {f"head.{name}": value for name, value in _widen_head(head, channels, generator).items()}
    copy_state(state, wide, name="classifier")
    return wide.eval()


def _widen_graph(rstg: RSTG, generator: Generator) -> dict[str, Tensor]:
    channels = rstg.hidden_channels
    attention = None if rstg.space is None else rstg.space.attention
    state = {}
    for name, value in rstg.state_dict().items():
        value = value.cpu()
        one_score = attention == "additive" and name.startswith("space.att_")
        if value.dim() == 2 and not name.startswith(("lin_in.", "space.lin_pos.")):
            value = _share(value, channels, generator)
        if attention == "dot" and name == "space.att_source.weight":
            # Two keys that sum to the one, for two equal queries.
            value = _share(value.T, channels, generator).T
        elif value.dim() > 0 and not one_score:
            value = _double(value, channels)
        state[name] = value
    if rstg.space is not None and attention == "dot" and rstg.space.normalize:
        state["space.att_source.weight"] *= 2**0.5  # the scores are divided by the root of 2D now
    if isinstance(rstg.lin_in, nn.Identity):
        state["lin_in.weight"] = _double(torch.eye(channels), channels)
        state["lin_in.bias"] = torch.zeros(2 * channels)
    return state


def _widen_head(head: ClassifierHead, channels: int, generator: Generator) -> dict[str, Tensor]:
    """The parameters up to the first linear layer."""
    state = {}
    for place, layer in head.named_children():
        if isinstance(layer, nn.Linear):
            state[f"{place}.weight"] = _share(layer.weight.detach().cpu(), channels, generator)
            break
        state |= {f"{place}.{name}": _double(value.cpu(), channels) for name, value in layer.state_dict().items()}
    return state


def _double(value: Tensor, channels: int) -> Tensor:
    """Every group of ``channels`` rows twice: rows are what a layer gives, an LSTM's of four gates."""
    return torch.cat([torch.cat([rows, rows]) for rows in value.split(channels)])


def _share(weight: Tensor, channels: int, generator: Generator) -> Tensor:
    """Every group of ``channels`` columns as two that sum to it: columns are what a layer takes."""
    parts = []
    for columns in weight.split(channels, dim=1):
        offset = 0.6 * (torch.rand(columns.shape, generator=generator) - 0.5)
        parts += [columns * (0.5 + offset), columns * (0.5 - offset)]
    return torch.cat(parts, dim=1)
