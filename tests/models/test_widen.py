import pytest
import torch
from torch import nn

from rstg_pyg import VideoClassifier
from rstg_pyg.models import ClassifierHead, SmallCNN, widen
from rstg_pyg.models.widen import _share
from rstg_pyg.nn import RSTGToVec

CLIP = [3, 1, 16, 16]  # frames, channels, height, width


def make_config(head=None, **graph):
    options = {
        "channels": 6,
        "node_channels": 6,
        "pyramid": [2, 1],
        "input_norm": "batch",
        "norm": "layer",
        "residual": True,
        **graph,
    }
    head = {"in_channels": options["node_channels"], "num_classes": 3, **(head or {})}
    return {
        "network": {
            "class_path": "rstg_pyg.VideoClassifier",
            "init_args": {
                "backbone": {"class_path": "rstg_pyg.models.SmallCNN", "init_args": {"widths": [4, 4, 6]}},
                "graph": {"class_path": "rstg_pyg.nn.RSTGToVec", "init_args": options},
                "head": {"class_path": "rstg_pyg.models.ClassifierHead", "init_args": head},
            },
        },
        "class_names": ["a", "b", "c"],
        "input": {"channels": 1, "num_frames": 3, "frame_size": [16, 16], "value_range": [0.0, 1.0]},
    }


def clips(number):
    """Frames of unlike brightness, noise in them."""
    return torch.rand(number, CLIP[0], 1, 1, 1) * torch.rand(number, *CLIP)


def make_trained(**config):
    """A classifier whose parameters and running statistics are none of those that a network begins with."""
    torch.manual_seed(1)
    classifier = VideoClassifier.from_config(make_config(**config))
    with torch.no_grad():
        for parameter in classifier.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        for _ in range(50):
            classifier(clips(8))
    return classifier.eval()


@pytest.mark.parametrize(
    "config",
    [
        {"attention": "additive", "head": {"hidden_channels": 5}},  # as shipped
        {"attention": "dot"},
        {"attention": "dot", "normalize": False},
        {"attention": "additive", "normalize": False, "positional": False},
        {"attention": "sum", "update_per_scale": True, "norm": "batch", "residual": False},
        {"schedule": "one_temp", "rnn": "gru", "norm": None},
        {"schedule": "space_only", "head": {"dropout": 0.5}},
        {"schedule": "time_only", "positional": False, "rnn": "rnn"},
        {"schedule": "homogeneous", "readout": "mean", "head": {"hidden_channels": 5, "dropout": 0.5}},
        {"node_channels": 4},  # a linear layer into the graph, before and after
        {"node_channels": 2, "attention": "additive"},
    ],
    ids=str,
)
@torch.no_grad()
def test_wide_classifier_computes_the_same(config):
    narrow = make_trained(**config)
    wide = widen(narrow)
    assert wide.graph.rstg.hidden_channels == 2 * narrow.graph.rstg.hidden_channels
    clip, volume = clips(5), 2 * torch.randn(5, 3, 6, 4, 4)
    torch.testing.assert_close(wide(clip), narrow(clip), rtol=1e-4, atol=1e-5)
    nodes, state, alpha = narrow.graph.run(volume)
    wide_nodes, wide_state, wide_alpha = wide.graph.run(volume)
    assert nodes.std(dim=0).max() > 0.05  # clips differ
    torch.testing.assert_close(wide_nodes, torch.cat([nodes, nodes], dim=-1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(wide_alpha, alpha, rtol=1e-4, atol=1e-5)
    for memory, wide_memory in zip(state, wide_state, strict=True):
        if memory.dim() > 2:  # of homogeneous graphs: whether there was a frame
            memory = torch.cat([memory, memory], dim=-1)
        torch.testing.assert_close(wide_memory, memory, rtol=1e-4, atol=1e-5)


def test_two_shares_by_hand():
    weight = torch.tensor([[1.0, -2.0, 10.0, 4.0]])
    share = 0.5 + 0.6 * (torch.rand(1, 2, generator=torch.Generator().manual_seed(3)) - 0.5)
    parts = _share(weight, 2, torch.Generator().manual_seed(3)).split(2, dim=1)
    torch.testing.assert_close(parts[0], weight[:, :2] * share)
    torch.testing.assert_close(parts[0] + parts[1], weight[:, :2])
    torch.testing.assert_close(parts[2] + parts[3], weight[:, 2:])
    assert all(torch.all((part / half >= 0.2) & (part / half <= 0.8)) for part, half in zip(
        parts, [weight[:, :2], weight[:, :2], weight[:, 2:], weight[:, 2:]], strict=True
    ))  # fmt: skip


def test_copies_of_a_channel_part_ways():
    wide = widen(make_trained(attention="additive"))
    optimizer = torch.optim.SGD(wide.parameters(), lr=0.1)
    assert torch.equal(*wide.graph.rstg.space.lin_send.weight.chunk(2))
    wide(clips(2)).square().sum().backward()
    optimizer.step()
    first, second = wide.graph.rstg.space.lin_send.weight.chunk(2)
    assert (first - second).abs().max() > 1e-3


def test_narrow_classifier_and_the_random_state_stay_as_they_are():
    narrow = make_trained()
    before = {name: value.clone() for name, value in narrow.state_dict().items()}
    config, random = narrow.config["network"]["init_args"]["graph"]["init_args"].copy(), torch.get_rng_state()
    wide = widen(narrow)
    assert torch.equal(torch.get_rng_state(), random)
    assert narrow.config["network"]["init_args"]["graph"]["init_args"] == config
    assert all(torch.equal(value, before[name]) for name, value in narrow.state_dict().items())
    with torch.no_grad():
        for parameter in wide.parameters():
            parameter.zero_()
    assert all(torch.equal(value, before[name]) for name, value in narrow.state_dict().items())


def test_seed_draws_the_shares():
    narrow = make_trained()
    states = [widen(narrow, seed).state_dict() for seed in (0, 0, 1)]
    name = "graph.rstg.time.rnn.weight_hh_l0"
    assert torch.equal(states[0][name], states[1][name])
    assert not torch.equal(states[0][name], states[2][name])


def test_wide_classifier_is_saved_and_widened_again(tmp_path):
    narrow = make_trained(node_channels=4)
    widen(narrow).save_pretrained(tmp_path)
    again = widen(VideoClassifier.from_pretrained(tmp_path))
    assert again.graph.rstg.hidden_channels == 16
    clip = clips(2)
    with torch.no_grad():
        torch.testing.assert_close(again(clip), narrow(clip), rtol=1e-4, atol=1e-5)


def test_errors():
    graph = RSTGToVec(channels=6, node_channels=6, pyramid=[2, 1])
    classifier = VideoClassifier(SmallCNN(widths=[4, 4, 6]), graph, ClassifierHead(6, 3))
    with pytest.raises(ValueError, match="Expected 'classifier' to be made by 'from_config'"):
        widen(classifier)
    classifier.head = nn.Linear(6, 3)
    with pytest.raises(ValueError, match=r"an RSTGToVec and a ClassifierHead \(got a RSTGToVec and a Linear\)"):
        widen(classifier)
    with pytest.raises(ValueError, match="a backbone of other than 6 channels, twice those of its nodes"):
        widen(make_trained(node_channels=3))
