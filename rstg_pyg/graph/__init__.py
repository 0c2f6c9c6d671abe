"""The pyramid of grids: cells, edges, area pooling and the way back, position maps."""

from rstg_pyg.graph.grid_pyramid import GridPyramid

__all__ = ["GridPyramid"]
