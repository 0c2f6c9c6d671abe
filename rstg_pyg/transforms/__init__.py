"""PyG transforms: a clip as a space-time graph, and the same graph unrolled over time; boxes as graphs."""

from rstg_pyg.transforms.box_graph import BoxGraph
from rstg_pyg.transforms.space_time_graph import SpaceTimeGraph
from rstg_pyg.transforms.unrolled_space_time_graph import UnrolledSpaceTimeGraph

__all__ = ["BoxGraph", "SpaceTimeGraph", "UnrolledSpaceTimeGraph"]
