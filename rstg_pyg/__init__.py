"""Recurrent Space-time Graph networks as a PyTorch Geometric extension."""

from rstg_pyg.cost import Summary, count_messages, count_multiply_adds, count_recurrent_updates, summary
from rstg_pyg.graph import GridPyramid
from rstg_pyg.models import VideoClassifier
from rstg_pyg.nn import RSTG, RSTGBlock, RSTGConv
from rstg_pyg.streaming import StreamBatch, stream

__version__ = "0.1.0"

__all__ = [
    "RSTG",
    "GridPyramid",
    "RSTGBlock",
    "RSTGConv",
    "StreamBatch",
    "Summary",
    "VideoClassifier",
    "count_messages",
    "count_multiply_adds",
    "count_recurrent_updates",
    "stream",
    "summary",
]
