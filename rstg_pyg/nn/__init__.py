"""Layers: the space stage, the time stage, the recurrent graph, blocks and read-outs."""

from rstg_pyg.nn.readout import NodesToVec
from rstg_pyg.nn.rstg import RSTG
from rstg_pyg.nn.rstg_block import RSTGBlock
from rstg_pyg.nn.rstg_conv import RSTGConv
from rstg_pyg.nn.rstg_to_vec import RSTGToVec
from rstg_pyg.nn.time_stage import TimeStage
from rstg_pyg.nn.track_rstg import TrackRSTG
from rstg_pyg.nn.tracks_to_vec import TracksToVec
from rstg_pyg.nn.volume_rstg import VolumeRSTG

__all__ = [
    "RSTG",
    "NodesToVec",
    "RSTGBlock",
    "RSTGConv",
    "RSTGToVec",
    "TimeStage",
    "TrackRSTG",
    "TracksToVec",
    "VolumeRSTG",
]
