from functools import partial

import pytest
import torch

from rstg_pyg import VideoClassifier
from rstg_pyg.models import (
    ClassifierHead,
    InflatedResNet,
    SmallCNN,
    SmallI3D,
    TorchvisionBackbone,
    insert_blocks,
)
from rstg_pyg.nn import RSTGBlock, RSTGToVec

SCHEDULES = ["all_temp", "one_temp", "space_only", "time_only", "homogeneous"]


def make_classifier(**graph):
    cnn = SmallCNN(1, widths=(8, 8, 16))
    return VideoClassifier(
        cnn, RSTGToVec(channels=16, node_channels=16, num_iterations=2, **graph), ClassifierHead(16, 4)
    )


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_overfits_sixteen_videos(schedule, loss_after_training):
    classifier = make_classifier(
        schedule=schedule,
        pyramid=(2, 1),
        readout="mean" if schedule == "space_only" else "last",
        input_norm="layer",
        norm="layer",
        residual=True,
    )
    # Frames of noise over nothing, rows, columns or dots.
    label = torch.arange(16) % 4
    stripes = (torch.arange(16) // 2 % 2).float()
    patterns = torch.stack([torch.zeros(16, 16), stripes[:, None].expand(16, 16), stripes.expand(16, 16)])
    patterns = torch.cat([patterns, (stripes * stripes[:, None])[None]])
    video = 0.5 * patterns[label][:, None, None] + 0.5 * torch.rand(16, 3, 1, 16, 16)
    assert loss_after_training(classifier, video, label) < 0.05
    assert (classifier(video).argmax(dim=1) == label).all()


def test_is_its_parts_and_gives_attention(device):
    classifier = make_classifier().double().to(device)
    video = torch.rand(2, 3, 1, 24, 24, dtype=torch.float64, device=device)
    logits, alpha = classifier(video, return_attention_weights=True)
    torch.testing.assert_close(logits, classifier.head(classifier.graph(classifier.backbone(video))))
    torch.testing.assert_close(classifier(video), logits)
    assert alpha.shape == (2, 3, 2, 90)


def test_padding_changes_nothing():
    classifier = make_classifier().double()
    video = torch.rand(2, 4, 1, 24, 24, dtype=torch.float64)
    out = classifier(video, lengths=torch.tensor([4, 2]))
    torch.testing.assert_close(out[0], classifier(video)[0])
    torch.testing.assert_close(out[1:], classifier(video[1:, :2]))


def test_padding_that_a_backbone_mixes_into_valid_steps_is_refused():
    class Pairs(SmallCNN):
        def forward(self, video):
            return super().forward(video).unflatten(1, (-1, 2)).mean(dim=2)

    classifier = make_classifier()
    classifier.backbone = Pairs(1, widths=(8, 8, 16))
    video = torch.rand(2, 4, 1, 24, 24)
    assert classifier(video).shape == (2, 4)
    with pytest.raises(
        ValueError, match=r"Expected 'lengths' to be None .* \(got Pairs, which gives 2 steps for 4 frames\)"
    ):
        classifier(video, lengths=torch.tensor([4, 2]))


@torch.no_grad()
def test_padding_that_a_backbone_convolves_into_valid_steps_is_refused():
    i3d = SmallI3D(1, widths=(4, 16), blocks=(1, 1))
    classifier = VideoClassifier(i3d, make_classifier().graph, ClassifierHead(16, 4)).eval()
    video = torch.rand(2, 4, 1, 24, 24)
    features = i3d(video)
    assert features.size(1) == 4
    assert not torch.allclose(features[1, :2], i3d(video[1:, :2])[0])
    with pytest.raises(ValueError, match=r"\(got SmallI3D, which gives 4 steps for 4 frames\)"):
        classifier(video, lengths=torch.tensor([4, 2]))


@pytest.mark.parametrize("make", [partial(TorchvisionBackbone, "mc3_18"), partial(InflatedResNet, depth=18, width=4)])
def test_backbones_over_clips_say_that_they_look_at_frames_together(make):
    assert make().frames_alone is False


@torch.no_grad()
def test_blocks_look_at_frames_together():
    inside = insert_blocks(SmallCNN(1, widths=(8, 8, 16)), {"convs.1": RSTGBlock(8, 4)}, time_dim=1)
    behind = TorchvisionBackbone("resnet18", blocks={"layer1": RSTGBlock(64, 4)})
    for backbone, channels, size in ((inside, 1, 24), (behind, 3, 32)):
        graph = RSTGToVec(channels=-1, node_channels=4, pyramid=(1,))
        classifier = VideoClassifier(backbone, graph, ClassifierHead(4, 4)).eval()
        video = torch.rand(2, 4, channels, size, size)
        assert classifier(video).shape == (2, 4)
        with pytest.raises(ValueError, match=r"Expected 'lengths' to be None .*, which gives 4 steps for 4 frames\)"):
            classifier(video, lengths=torch.tensor([4, 2]))


def test_state_dict_round_trip(tmp_path):
    classifier, other = make_classifier(), make_classifier()
    torch.save(classifier.state_dict(), tmp_path / "classifier.pt")
    other.load_state_dict(torch.load(tmp_path / "classifier.pt", weights_only=True))
    video = torch.rand(1, 2, 1, 24, 24)
    torch.testing.assert_close(other(video), classifier(video))


def test_head():
    assert [type(layer).__name__ for layer in ClassifierHead(8, 4)] == ["Linear"]
    deep = ClassifierHead(8, 4, hidden_channels=6, dropout=0.5)
    assert [type(layer).__name__ for layer in deep] == ["LayerNorm", "Linear", "ReLU", "Dropout", "Linear"]
    assert deep(torch.rand(3, 8)).shape == (3, 4)
    with pytest.raises(ValueError, match=r"Expected 'hidden_channels' to be positive or None \(got 0\)"):
        ClassifierHead(8, 4, hidden_channels=0)
    with pytest.raises(ValueError, match="dropout probability has to be between 0 and 1, but got -0"):
        ClassifierHead(8, 4, dropout=-0.1)


def test_bad_videos():
    classifier = make_classifier()
    with pytest.raises(ValueError, match=r"\[B, T, channels, H, W\] \(got \[4, 1, 24, 24\]\)"):
        classifier(torch.rand(4, 1, 24, 24))
    with pytest.raises(ValueError, match=r"floating point type, in \[0, 1\] \(got torch.uint8\)"):
        classifier(torch.zeros(1, 4, 1, 24, 24, dtype=torch.uint8))


def test_takes_any_graph_from_features_to_a_vector():
    mean = torch.nn.Sequential(torch.nn.Flatten(start_dim=3), torch.nn.AdaptiveAvgPool2d((16, 1)), torch.nn.Flatten(2))
    classifier = VideoClassifier(
        SmallCNN(1, widths=(8, 8, 16)), torch.nn.Sequential(mean, LastFrame()), torch.nn.Identity()
    )
    video = torch.rand(2, 3, 1, 24, 24)
    torch.testing.assert_close(classifier(video), classifier.backbone(video)[:, -1].mean(dim=(-2, -1)))


class LastFrame(torch.nn.Module):
    def forward(self, x):
        return x[:, -1]


@pytest.mark.parametrize("schedule", ["all_temp", "one_temp", "time_only", "homogeneous"])
def test_learns_what_only_the_order_of_the_frames_tells(schedule, sweeps, loss_after_training):
    classifier = make_classifier(schedule=schedule, pyramid=(2, 1), input_norm="layer", norm="layer", residual=True)
    assert loss_after_training(classifier, *sweeps) < 0.05
