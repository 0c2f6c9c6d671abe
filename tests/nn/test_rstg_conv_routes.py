"""The space stage gives the same numbers by every route: layouts of the graph, batches, accelerators, types."""

import subprocess
import sys

import pytest
import torch
import torch_geometric.typing
from torch_geometric import EdgeIndex
from torch_geometric.data import Batch, Data
from torch_geometric.utils import to_torch_coo_tensor, to_torch_csr_tensor

from rstg_pyg import RSTG, GridPyramid, RSTGConv
from rstg_pyg.nn import NodesToVec

ATTENTIONS = ["dot", "additive", "sum"]


@pytest.fixture(params=ATTENTIONS)
def conv(request, device):
    conv = RSTGConv(5, 8, attention=request.param, pos_channels=36, num_groups=3, norm="layer")
    return conv.double().to(device)


@pytest.fixture
def pyramid(device):
    return GridPyramid().to(device)


def test_static_stacked_and_disjoint_batches_agree(conv, pyramid, device):
    x = torch.randn(2, 3, 14, 5, dtype=torch.float64, device=device)
    edge_index, pos_map, group = pyramid.edge_index, pyramid.pos_map().double(), pyramid.scale
    static, (_, alpha) = conv(x, edge_index, pos_map, group=group, return_attention_weights=True)
    assert static.shape == (2, 3, 14, 8)
    assert alpha.shape == (2, 3, 90)

    graphs = x.flatten(end_dim=1)
    stacked = torch.stack([conv(graph, edge_index, pos_map, group=group) for graph in graphs])
    torch.testing.assert_close(stacked, static.flatten(end_dim=1))

    batch = Batch.from_data_list([Data(x=g, edge_index=edge_index, pos_map=pos_map, group=group) for g in graphs])
    assert batch.x.shape == (6 * 14, 5)
    disjoint, (_, disjoint_alpha) = conv(
        batch.x, batch.edge_index, batch.pos_map, group=batch.group, return_attention_weights=True
    )
    torch.testing.assert_close(disjoint.view(2, 3, 14, 8), static)
    torch.testing.assert_close(disjoint_alpha.view(2, 3, 90), alpha)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("common", ["source", "destination", "both"])
def test_leading_dimensions_are_broadcast(common, fused):
    conv = RSTGConv((3, 4), 4, residual=True).double()
    conv.fused = fused
    source, destination = torch.randn(2, 5, 3, dtype=torch.float64), torch.randn(2, 6, 4, dtype=torch.float64)
    edge_index = torch.tensor([[0, 4, 2, 1, 3], [5, 0, 0, 2, 2]])
    mask = torch.tensor([[True, False, True, True, True], [True, True, False, True, False]])
    if common != "destination":
        source = source[:1].expand(2, 5, 3)
    if common != "source":
        destination = destination[:1].expand(2, 6, 4)
    expected = [conv((source[i], destination[i]), edge_index, edge_mask=mask[i]) for i in range(2)]
    x = (source if common == "destination" else source[0], destination if common == "source" else destination[0])
    torch.testing.assert_close(conv(x, edge_index, edge_mask=mask), torch.stack(expected))


@pytest.mark.parametrize("leading", [(), (3,), (2, 3)])
@pytest.mark.parametrize("weighted", [False, True])
def test_edge_index_and_sparse_layouts_agree(conv, pyramid, device, leading, weighted):
    x = torch.randn(*leading, 14, 5, dtype=torch.float64, device=device)
    edge_weight = torch.rand(90, dtype=torch.float64, device=device) if weighted else None
    pos_map, group = pyramid.pos_map().double(), pyramid.scale
    order = torch.randperm(90, device=device)
    shuffled = pyramid.edge_index[:, order]
    shuffled_weight = None if edge_weight is None else edge_weight[order]

    def run(edge_index, edge_weight):
        return conv(x, edge_index, pos_map, edge_weight, group, return_attention_weights=True)

    out, (_, alpha) = run(pyramid.edge_index, edge_weight)
    out_shuffled, (_, alpha_shuffled) = run(shuffled, shuffled_weight)
    torch.testing.assert_close(out_shuffled, out)
    torch.testing.assert_close(alpha_shuffled, alpha[..., order])

    by_row = pyramid.edge_index[0].argsort(stable=True)
    for edges, sort_order, weight, expected in [
        (pyramid.edge_index, "col", edge_weight, alpha),
        (shuffled, None, shuffled_weight, alpha[..., order]),
        (
            pyramid.edge_index[:, by_row],
            "row",
            None if edge_weight is None else edge_weight[by_row],
            alpha[..., by_row],
        ),
    ]:
        typed = EdgeIndex(edges, sparse_size=(14, 14), sort_order=sort_order)
        out_typed, (_, alpha_typed) = run(typed, weight)
        torch.testing.assert_close(out_typed, out)
        torch.testing.assert_close(alpha_typed, expected)

    for layout in (to_torch_csr_tensor, to_torch_coo_tensor):
        values = torch.ones(90, dtype=torch.float64, device=device) if edge_weight is None else edge_weight
        # The row of adj_t is the destination, by which the pyramid's edges are sorted already.
        adj_t = layout(pyramid.edge_index.flip(0), values, size=(14, 14))
        out_sparse, (edges, alpha_sparse) = run(adj_t, None)
        torch.testing.assert_close(out_sparse, out)
        torch.testing.assert_close(alpha_sparse, alpha)
        assert torch.equal(edges, pyramid.edge_index)


def test_same_numbers_with_and_without_torch_scatter(conv, pyramid, device, monkeypatch):
    # What PyG uses torch-scatter for in this layer (versions seen: nothing on the CPU) may change; the numbers may not.
    x = torch.randn(2, 14, 5, dtype=torch.float64, device=device)
    results = []
    for with_scatter in (True, False):
        if with_scatter and not torch_geometric.typing.WITH_TORCH_SCATTER:
            pytest.skip("torch-scatter is not installed here")
        monkeypatch.setattr(torch_geometric.typing, "WITH_TORCH_SCATTER", with_scatter)
        leaf = x.clone().requires_grad_()
        out = conv(leaf, pyramid.edge_index, pyramid.pos_map().double(), group=pyramid.scale)
        out.square().sum().backward()
        results.append((out, leaf.grad))
    torch.testing.assert_close(results[0], results[1])


def test_same_numbers_where_torch_scatter_cannot_be_imported(tmp_path):
    run = """
torch.manual_seed(0)
pyramid = GridPyramid()
rstg = RSTG(5, 6, pos_channels=36)
out, _ = rstg(torch.randn(1, 3, 14, 5), pyramid.edge_index, pyramid.pos_map())
vec = NodesToVec()(out, batch=torch.arange(14) // 7)
"""
    script = f"""
import sys, torch
sys.modules["torch_scatter"] = None  # importing it raises ImportError from here on
import torch_geometric.typing
from rstg_pyg import RSTG, GridPyramid
from rstg_pyg.nn import NodesToVec
assert not torch_geometric.typing.WITH_TORCH_SCATTER
{run}
torch.save([out.detach(), vec.detach()], sys.argv[1])
"""
    command = [sys.executable, "-W", "ignore", "-c", script, str(tmp_path / "without.pt")]
    subprocess.run(command, check=True, timeout=120)
    names = {"torch": torch, "GridPyramid": GridPyramid, "RSTG": RSTG, "NodesToVec": NodesToVec}
    exec(run, names)
    torch.testing.assert_close(torch.load(tmp_path / "without.pt"), [names["out"].detach(), names["vec"].detach()])


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("normalize", [True, False])
def test_bfloat16_autocast_is_near_float32(attention, normalize, device):
    conv = RSTGConv(16, 16, attention=attention, normalize=normalize, pos_channels=36, norm="layer").to(device)
    pyramid = GridPyramid().to(device)
    x = torch.randn(2, 14, 16, device=device, requires_grad=True)
    inputs = (x, pyramid.edge_index, pyramid.pos_map(), torch.rand(90, device=device))
    out, (_, alpha) = conv(*inputs, return_attention_weights=True)
    with torch.autocast(device.type, dtype=torch.bfloat16):
        out_half, (_, alpha_half) = conv(*inputs, return_attention_weights=True)
    torch.testing.assert_close(out_half.float(), out, rtol=0.05, atol=0.1)
    torch.testing.assert_close(alpha_half.float(), alpha, rtol=0.05, atol=0.05)
    out_half.float().square().sum().backward()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_module_stays_in_its_type(attention, normalize, dtype, device):
    conv = RSTGConv(16, 16, attention=attention, normalize=normalize, pos_channels=36, num_groups=3).to(device)
    pyramid = GridPyramid().to(device)
    x, pos_map, edge_weight = torch.randn(2, 14, 16, device=device), pyramid.pos_map(), torch.rand(90, device=device)
    expected = conv(x, pyramid.edge_index, pos_map, edge_weight, pyramid.scale)
    half = (x.to(dtype), pyramid.edge_index, pos_map.to(dtype), edge_weight.to(dtype), pyramid.scale)
    out = conv.to(dtype)(*half)
    assert out.dtype == dtype
    torch.testing.assert_close(out.float(), expected, rtol=0.05, atol=0.1)
