"""Videos that go on: a classifier frame by frame, for one stream or many."""

from rstg_pyg.streaming.single_stream import stream
from rstg_pyg.streaming.stream_batch import StreamBatch

__all__ = ["StreamBatch", "stream"]
