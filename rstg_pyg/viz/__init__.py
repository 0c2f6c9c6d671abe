"""A look into the graph at work: what it did with a clip, and pictures of it (needs matplotlib, the extra ``viz``)."""

from rstg_pyg.viz.attention import draw_attention
from rstg_pyg.viz.attention_matrices import draw_attention_matrices
from rstg_pyg.viz.attention_movie import write_attention_movie
from rstg_pyg.viz.attribution import draw_attribution, node_attribution
from rstg_pyg.viz.pyramid import draw_pyramid
from rstg_pyg.viz.record import Record, record
from rstg_pyg.viz.similarity import draw_similarity

__all__ = [
    "Record",
    "draw_attention",
    "draw_attention_matrices",
    "draw_attribution",
    "draw_pyramid",
    "draw_similarity",
    "node_attribution",
    "record",
    "write_attention_movie",
]
