"""A clip as one flat graph with a node for every cell of every frame."""

import torch
from torch import Tensor
from torch_geometric.data import Data, HeteroData
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from rstg_pyg.transforms.one_clip import check_one_clip

SPATIAL, TEMPORAL = 0, 1
OF_THE_CLIP = ("y", "video")  # which may happen to be as long as there are nodes or edges


@functional_transform("unrolled_space_time_graph")
class UnrolledSpaceTimeGraph(BaseTransform):
    """Unroll the graph of a clip over time (functional name: ``unrolled_space_time_graph``).

    Takes the data that :class:`SpaceTimeGraph` makes, ``x [N, T, F]`` with the ``edge_index [2, E]`` of a frame, and
    gives plain node features, as PyG's other layers and its explainers want them:

    - **x:** ``[T·N, F]``, frame by frame: node i of frame t is number ``t·N + i``,
    - **edge_index:** ``[2, T·E + (T-1)·N]``, the edges of each frame in turn, then those from each node to itself one
      frame later,
    - **edge_type:** 0 for the former (spatial), 1 for the latter (temporal),
    - **frame:** ``[T·N]``, t of each node,
    - other tensors with a row for each node, such as ``pos``, ``box``, ``scale`` and ``pos_map``, repeated for every
      frame.

    Everything else, such as the label ``y`` and the frames ``video``, is kept, but for ``num_nodes``, which was that of
    a frame. Clips are unrolled one by one, and batched after that.

    Args:
        to_hetero: Give a :class:`~torch_geometric.data.HeteroData` instead, with node type ``node`` and edge types
            ``(node, spatial, node)`` and ``(node, temporal, node)``.

    Raises:
        ValueError: If it is given a batch, there are other edge attributes, ``x`` or ``edge_index`` is missing or of
            the wrong shape or type, ``x`` holds NaN or infinity, or ``edge_index`` points outside the nodes.
    """

    def __init__(self, to_hetero: bool = False) -> None:
        self.to_hetero = to_hetero

    def forward(self, data: Data) -> Data | HeteroData:
        """Unroll ``x`` and ``edge_index``."""
        x, edge_index = _checked_graph(data)
        other_edge_attributes = [name for name in data.edge_attrs() if name not in ("edge_index", *OF_THE_CLIP)]
        if other_edge_attributes:
            raise ValueError(
                f"Expected 'data' to have no edge attributes but 'edge_index', as temporal edges have none "
                f"(got {other_edge_attributes})"
            )
        num_nodes, num_frames, _ = x.shape
        first_node = torch.arange(num_frames, device=x.device) * num_nodes
        spatial = (edge_index[:, None, :] + first_node[:, None]).flatten(start_dim=1)
        earlier = torch.arange((num_frames - 1) * num_nodes, device=x.device)
        temporal = torch.stack([earlier, earlier + num_nodes])

        nodes = {"x": x.transpose(0, 1).flatten(end_dim=1)}
        nodes["frame"] = torch.arange(num_frames, device=x.device).repeat_interleave(num_nodes)
        for name in data.node_attrs():
            if name not in (*nodes, *OF_THE_CLIP) and isinstance(value := data[name], Tensor):
                nodes[name] = value.repeat(num_frames, *[1] * (value.dim() - 1))

        if "num_nodes" in data:
            del data.num_nodes
        if self.to_hetero:
            hetero = HeteroData()
            for name, value in data.items():
                if name not in nodes and name != "edge_index":
                    hetero[name] = value
            hetero["node"].update(nodes)
            hetero["node", "spatial", "node"].edge_index = spatial
            hetero["node", "temporal", "node"].edge_index = temporal
            return hetero

        data.update(nodes)
        data.edge_index = torch.cat([spatial, temporal], dim=1)
        data.edge_type = torch.cat(
            [spatial.new_full((spatial.size(1),), SPATIAL), spatial.new_full((temporal.size(1),), TEMPORAL)]
        )
        return data

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(to_hetero={self.to_hetero})"


def _checked_graph(data: Data) -> tuple[Tensor, Tensor]:
    check_one_clip(data)
    x, edge_index = (data.get("x"), data.get("edge_index")) if isinstance(data, Data) else (None, None)
    if not isinstance(x, Tensor) or not isinstance(edge_index, Tensor):
        got = data if isinstance(data, Data) else type(data).__name__
        raise ValueError(f"Expected 'data' to be a Data with tensors 'x' and 'edge_index' (got {got})")
    if x.dim() != 3 or 0 in x.shape:
        raise ValueError(f"Expected 'x' to be of shape [N, T, F] without empty dimensions (got {list(x.shape)})")
    if not x.is_floating_point():
        raise ValueError(f"Expected 'x' to be of floating point type (got {x.dtype})")
    if not x.isfinite().all():
        raise ValueError(f"Expected 'x' to be finite (got {int((~x.isfinite()).sum())} NaN or infinite)")
    if edge_index.dim() != 2 or edge_index.size(0) != 2 or edge_index.dtype != torch.int64:
        raise ValueError(
            f"Expected 'edge_index' to be int64 of shape [2, E] (got {edge_index.dtype} {list(edge_index.shape)})"
        )
    if edge_index.numel() > 0 and (edge_index.min() < 0 or edge_index.max() >= x.size(0)):
        raise ValueError(
            f"Expected 'edge_index' to point at nodes 0..{x.size(0) - 1} "
            f"(got {int(edge_index.min())}..{int(edge_index.max())})"
        )
    return x, edge_index
