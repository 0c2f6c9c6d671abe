"""Backbones, the paper's baselines and the video classifier that joins backbone, graph and head."""

from rstg_pyg.models.box_rstg_to_vec import BoxRSTGToVec
from rstg_pyg.models.conv_net_lstm import ConvNetLSTM
from rstg_pyg.models.frame_by_frame import FrameByFrame
from rstg_pyg.models.global_average_pool import GlobalAveragePool
from rstg_pyg.models.inflated_resnet import InflatedResNet
from rstg_pyg.models.insert_blocks import insert_blocks
from rstg_pyg.models.load_pretrained import LoadingReport, load_pretrained
from rstg_pyg.models.mean_pool_lstm import MeanPoolLSTM
from rstg_pyg.models.non_local_block import NonLocalBlock
from rstg_pyg.models.pooled_rstg_to_vec import PooledRSTGToVec
from rstg_pyg.models.small_cnn import SmallCNN
from rstg_pyg.models.small_i3d import SmallI3D
from rstg_pyg.models.torchvision_backbone import TorchvisionBackbone
from rstg_pyg.models.video_classifier import ClassifierHead, VideoClassifier

__all__ = [
    "BoxRSTGToVec",
    "ClassifierHead",
    "ConvNetLSTM",
    "FrameByFrame",
    "GlobalAveragePool",
    "InflatedResNet",
    "LoadingReport",
    "MeanPoolLSTM",
    "NonLocalBlock",
    "PooledRSTGToVec",
    "SmallCNN",
    "SmallI3D",
    "TorchvisionBackbone",
    "VideoClassifier",
    "insert_blocks",
    "load_pretrained",
]
