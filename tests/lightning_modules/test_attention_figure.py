"""The picture of a test clip's graph, behind a backbone that pools time."""

import numpy as np
import pytest
import torch
from pytorch_lightning import Trainer
from torch import nn
from torch.utils.data import DataLoader

import rstg_pyg.viz
from lightning_modules import VideoClassification
from lightning_modules.callbacks import AttentionFigure
from rstg_pyg import RSTGBlock, VideoClassifier
from rstg_pyg.models import ClassifierHead, GlobalAveragePool, InflatedResNet, PooledRSTGToVec


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """Test a network whose backbone has a graph inside, on videos; gives the figures that were drawn."""
    draw_attention, figures = rstg_pyg.viz.draw_attention, []

    def draw(*args, **kwargs):
        figures.append(draw_attention(*args, **kwargs))
        return figures[-1]

    monkeypatch.setattr(rstg_pyg.viz, "draw_attention", draw)

    def run(graph, videos):
        block = RSTGBlock(4, 4, pyramid=(2, 1), num_iterations=1)
        backbone = InflatedResNet(inflation="c2d", depth=18, width=2, res5_stride=1, blocks={"res3.0": block})
        head = ClassifierHead(16, 3)
        nn.init.constant_(head[-1].bias.data[1:2], 1000.0)  # says class 1, whatever the video
        trainer = Trainer(
            accelerator="cpu",
            default_root_dir=tmp_path,
            logger=False,
            callbacks=[AttentionFigure()],
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        network = VideoClassification(VideoClassifier(backbone, graph, head), num_classes=3)
        trainer.test(network, DataLoader(list(zip(videos, [2, 1, 0], strict=True)), batch_size=3), verbose=False)
        assert (tmp_path / "attention.png").exists() == bool(figures)
        return figures

    return run


def test_graph_behind_the_backbone_is_drawn_over_the_first_frame_of_each_step(drawn):
    videos = torch.randint(256, (3, 6, 3, 32, 32), dtype=torch.uint8)
    (figure,) = drawn(PooledRSTGToVec(channels=16, node_channels=4, pyramid=(2, 1), num_iterations=1), videos)
    shown = [axes.images[0].get_array() for axes in figure.axes[:3]]
    np.testing.assert_array_equal(shown, videos[1, [0, 2, 4]].permute(0, 2, 3, 1).float() / 255)
    assert figure.get_suptitle() == "label 1, predicted 1"


def test_frames_that_are_no_picture_are_left_white(drawn, monkeypatch):
    graph = PooledRSTGToVec(channels=16, node_channels=4, pyramid=(2, 1), num_iterations=1)
    forward = InflatedResNet.forward
    monkeypatch.setattr(InflatedResNet, "forward", lambda self, video: forward(self, video[:, :, [0, 0, 1]]))
    (figure,) = drawn(graph, torch.zeros(3, 6, 2, 32, 32, dtype=torch.uint8))
    np.testing.assert_array_equal([axes.images[0].get_array() for axes in figure.axes[:3]], np.ones((3, 64, 64)))


@pytest.mark.parametrize(
    "graph",
    [
        GlobalAveragePool(),
        PooledRSTGToVec(channels=16, node_channels=4, pyramid=(1,)),  # one node has no edges
        PooledRSTGToVec(channels=16, node_channels=4, pyramid=(2, 1), schedule="time_only"),
    ],
)
def test_graph_without_messages_is_not_drawn_nor_is_one_inside_the_backbone(drawn, graph):
    assert drawn(graph, torch.zeros(3, 6, 3, 32, 32, dtype=torch.uint8)) == []
