"""Pictures of the graph at work (needs matplotlib: ``pip install rstg-pyg[viz]``)."""

from rstg_pyg.viz.attention import draw_attention

__all__ = ["draw_attention"]
