"""Videos that go on: a classifier frame by frame."""

from rstg_pyg.streaming.single_stream import stream

__all__ = ["stream"]
