"""Fixtures that tests of several modules share."""

import math

import pytest
import torch
from torch.nn import functional as F


@pytest.fixture(
    params=[
        "cpu",
        pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")),
    ]
)
def device(request, monkeypatch):
    """Every device there is; float32 means float32 on each of them."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    return torch.device(request.param)


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Tensors here are tiny: threads would only wait for each other, the more so beside other work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def slow_conv(conv, x, edge_index, pos_map=None, edge_weight=None, group=None):
    """Equations 1-5 of the paper for one graph, edge by edge, with the concatenations written out.

    Returns the new nodes before any norm, and the attention of every edge.
    """
    source, destination = (x, x) if isinstance(x, torch.Tensor) else x
    edges = list(enumerate(edge_index.t().tolist()))
    parts = [conv.lin_source.weight, conv.lin_destination.weight]
    parts += [] if conv.lin_pos is None else [conv.lin_pos.weight]
    first_weight = torch.cat(parts, dim=1)

    def send(j, i):
        inputs = [source[j], destination[i]] + ([] if pos_map is None else [pos_map[j]])
        hidden = (first_weight @ torch.cat(inputs) + conv.lin_destination.bias).relu()
        return (conv.lin_send.weight @ hidden + conv.lin_send.bias).relu()

    def score(j, i):
        if conv.attention == "sum":
            return source.new_ones(())
        key, query = conv.att_source.weight @ source[j], conv.att_destination.weight @ destination[i]
        if conv.attention == "additive":
            return F.leaky_relu(key[0] + query[0], 0.2)
        return key @ query / (math.sqrt(conv.out_channels) if conv.normalize else 1)

    alpha = source.new_zeros(len(edges))
    out = []
    for i in range(destination.size(0)):
        incoming = [(e, j) for e, (j, to) in edges if to == i]
        scores = [score(j, i) for _, j in incoming]
        total = sum(s.exp() for s in scores)
        gathered = source.new_zeros(conv.out_channels)
        for (e, j), s in zip(incoming, scores, strict=True):
            alpha[e] = s.exp() / total if conv.normalize else s
            if edge_weight is not None:
                alpha[e] = alpha[e] * edge_weight[e]
            gathered = gathered + alpha[e] * send(j, i)
        first, _, last, _ = conv.mlp_update[0 if group is None else int(group[i])]
        hidden = (first.weight @ torch.cat([destination[i], gathered]) + first.bias).relu()
        out.append((last.weight @ hidden + last.bias).relu())
        if conv.residual:
            out[-1] = out[-1] + destination[i]
    return torch.stack(out), alpha


@pytest.fixture(scope="session")
def reference_conv():
    """The space stage in plain Python, independent of PyG and of the split of the first layer."""
    return slow_conv
