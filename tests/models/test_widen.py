import pytest
import torch
from torch import nn

from rstg_pyg import VideoClassifier
from rstg_pyg.models import ClassifierHead, SmallCNN, widen
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
        for module in classifier.modules():
            if isinstance(module, nn.BatchNorm1d):
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)
    return classifier.eval()


@pytest.mark.parametrize(
    "config",
    [
        {"attention": "additive", "head": {"hidden_channels": 5}},  # as shipped
        {"attention": "dot"},
        {"attention": "dot", "normalize": False},
        {"attention": "additive", "normalize": False, "positional": False},
        {"attention": "sum", "update_per_scale": True, "norm": "batch", "residual": False},
        {"schedule": "one_temp", "rnn": "gru", "norm": None, "input_norm": "layer"},
        {"schedule": "space_only", "head": {"dropout": 0.5}},
        {"schedule": "time_only", "positional": False, "rnn": "rnn", "input_norm": None},
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
    assert nodes.std(dim=0).max() > 1e-3  # clips differ
    torch.testing.assert_close(wide_nodes, torch.cat([nodes, nodes], dim=-1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(wide_alpha, alpha, rtol=1e-4, atol=1e-5)
    for memory, wide_memory in zip(state, wide_state, strict=True):
        if memory.is_floating_point():  # and not a homogeneous graph's flags
            memory = torch.cat([memory, memory], dim=-1)
        torch.testing.assert_close(wide_memory, memory, rtol=1e-4, atol=1e-5)


def test_copies_have_shares_of_what_a_channel_gave():
    narrow = make_trained(update_per_scale=True)
    wide = widen(narrow).state_dict()
    for name in ("head.0.weight", "graph.rstg.space.mlp_update.1.0.weight"):  # of nodes; of nodes and messages
        weight = narrow.state_dict()[name]
        rows = wide[name][: len(weight)]
        for columns, halves in zip(weight.split(6, dim=1), rows.split(12, dim=1), strict=True):
            first, second = halves.chunk(2, dim=1)
            torch.testing.assert_close(first + second, columns)
            share = first / columns
            assert 0.199 < share.min() < 0.3
            assert 0.7 < share.max() < 0.801


@pytest.mark.parametrize("attention", ["dot", "additive", "sum"])
@pytest.mark.parametrize("schedule", ["all_temp", "homogeneous"])
def test_copies_of_a_channel_part_ways(attention, schedule):
    wide = widen(make_trained(attention=attention, schedule=schedule))
    wide.head(wide.graph(torch.randn(4, 3, 6, 4, 4))).square().sum().backward()
    for name, value in wide.graph.rstg.named_parameters():
        if len(value) == 1:  # the one score of additive attention
            continue
        for rows in zip(value.split(12), value.grad.split(12), strict=True):  # a gate's
            halves = [half.chunk(2) for half in rows]
            assert any((a - b).abs().max() > 0.01 * a.abs().max() for a, b in halves), name


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
    with pytest.raises(ValueError, match=r"an RSTGToVec and a ClassifierHead \(got RSTGToVec and Linear\)"):
        widen(classifier)
    with pytest.raises(ValueError, match=r"other than half as many node channels as features .* \(got 3 and 6\)"):
        widen(make_trained(node_channels=3))
    with pytest.raises(ValueError, match=r"a graph that was told its 'channels' \(got -1\)"):
        widen(VideoClassifier.from_config(make_config(channels=-1)))
