"""Backbones and the video classifier that joins backbone, graph and head."""

from rstg_pyg.models.small_cnn import SmallCNN
from rstg_pyg.models.video_classifier import ClassifierHead, VideoClassifier

__all__ = ["ClassifierHead", "SmallCNN", "VideoClassifier"]
