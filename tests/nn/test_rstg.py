"""The recurrent graph: against a frame-by-frame reference of every schedule, streamed, padded, reset."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric import EdgeIndex
from torch_geometric.data import Batch, Data
from torch_geometric.utils import to_torch_coo_tensor, to_torch_csr_tensor

from rstg_pyg import RSTG, GridPyramid
from rstg_pyg.nn import NodesToVec

SCHEDULES = ["all_temp", "one_temp", "space_only", "time_only", "homogeneous"]
RNNS = ["lstm", "gru", "rnn"]
EDGES = torch.tensor([[1, 2, 0, 3, 2, 0], [0, 0, 1, 1, 3, 3]])  # node 2 only sends


def apply_cell(stage, v, memory):
    """One recurrent update of [N, D] from the equations of the cell; a memory is (h,) or (h, c)."""
    rnn = stage.rnn
    x, h = v @ rnn.weight_ih_l0.t() + rnn.bias_ih_l0, memory[0] @ rnn.weight_hh_l0.t() + rnn.bias_hh_l0
    if rnn.mode == "LSTM":
        i, f, g, o = (x + h).chunk(4, dim=-1)
        c = f.sigmoid() * memory[1] + i.sigmoid() * g.tanh()
        return (o.sigmoid() * c.tanh(), c)
    if rnn.mode == "GRU":
        (x_r, x_z, x_n), (h_r, h_z, h_n) = x.chunk(3, dim=-1), h.chunk(3, dim=-1)
        z = (x_z + h_z).sigmoid()
        n = (x_n + (x_r + h_r).sigmoid() * h_n).tanh()
        return ((1 - z) * n + z * memory[0],)
    return ((x + h).tanh(),)


def slow_rstg(rstg, clip, edge_index, space, pos_map=None, edge_weight=None, group=None):
    """The table of schedules for one clip [T, N, C], frame outside and iteration inside."""
    K, N, D = rstg.num_iterations, clip.size(1), rstg.hidden_channels  # noqa: N806
    zeros = clip.new_zeros(N, D)
    memories = [(zeros, zeros)] * (K + 1)
    pasts = [None] * (K + 1)
    outs, alphas = [], []

    def time(stage, v, k):
        memories[k] = apply_cell(stage, v, memories[k])
        return memories[k][0] + v if stage.residual else memories[k][0]

    def exchange(v):
        v, alpha = space(rstg.space, v, edge_index, pos_map, edge_weight, group)
        alphas[-1].append(alpha)
        return v

    def exchange_with_past(v, k):
        if pasts[k] is None:
            v = exchange(v)
        else:
            own = torch.stack([N + torch.arange(N), torch.arange(N)])
            v, alpha = space(
                rstg.space,
                (torch.cat([v, pasts[k]]), v),
                torch.cat([edge_index, own], dim=1),
                None if pos_map is None else torch.cat([pos_map, pos_map]),
                None if edge_weight is None else torch.cat([edge_weight, edge_weight.new_ones(N)]),
                group,
            )
            alphas[-1].append(alpha[: edge_index.size(1)])
        pasts[k] = v
        return v

    for frame in clip:
        alphas.append([])
        v = frame @ rstg.lin_in.weight.t() + rstg.lin_in.bias if rstg.in_channels != D else frame
        if rstg.schedule == "all_temp":
            for k in range(K):
                v = exchange(time(rstg.time, v, k))
            v = time(rstg.last_time, v, K)
        elif rstg.schedule == "one_temp":
            for _ in range(K):
                v = exchange(v)
            v = time(rstg.last_time, v, 0)
        elif rstg.schedule == "space_only":
            for _ in range(K):
                v = exchange(v)
        elif rstg.schedule == "time_only":
            v = time(rstg.last_time, v, 0)
        else:
            for k in range(K + 1):
                v = exchange_with_past(v, k)
        outs.append(v)
    return torch.stack(outs), [torch.stack(alpha) if alpha else None for alpha in alphas]


def make(schedule, rnn="lstm", **options):
    options = {"in_channels": 3, "hidden_channels": 4, "num_iterations": 2, "schedule": schedule, "rnn": rnn} | options
    rstg = RSTG(**options).double()
    for name, parameter in rstg.named_parameters():
        if "norm" not in name:
            torch.nn.init.normal_(parameter, std=0.6)
    return rstg


@pytest.fixture(params=SCHEDULES)
def rstg(request):
    return make(request.param)


@pytest.fixture
def clip():
    return torch.randn(3, 5, 4, 3, dtype=torch.float64)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize(
    ("rnn", "options"),
    [
        ("lstm", {}),
        ("gru", {"attention": "additive", "in_channels": 4}),
        ("rnn", {"attention": "sum", "normalize": False, "num_iterations": 1}),
        ("lstm", {"pos_channels": 2, "num_groups": 2, "residual": True, "weighted": True, "num_iterations": 3}),
    ],
)
def test_against_frame_by_frame_reference(reference_conv, schedule, rnn, options):
    options = dict(options)
    weighted = options.pop("weighted", False)
    rstg = make(schedule, rnn, **options)
    clip = torch.randn(2, 3, 4, rstg.in_channels, dtype=torch.float64)
    pos_map = torch.rand(4, 2, dtype=torch.float64) if "pos_channels" in options else None
    group = torch.tensor([0, 1, 1, 0]) if "num_groups" in options else None
    edge_weight = torch.rand(6, dtype=torch.float64) if weighted else None
    out, _, alpha = rstg(clip, EDGES, pos_map, edge_weight, group, return_attention_weights=True)
    assert alpha.shape == (2, 3, rstg.num_space_stages, 6)
    for b in range(2):
        expected, expected_alpha = slow_rstg(rstg, clip[b], EDGES, reference_conv, pos_map, edge_weight, group)
        torch.testing.assert_close(out[b], expected)
        for t in range(3):
            if expected_alpha[t] is not None:
                torch.testing.assert_close(alpha[b, t], expected_alpha[t])


def test_streaming_equals_whole_clip(rstg, clip):
    whole, last_state, alpha = rstg(clip, EDGES, return_attention_weights=True)
    state, frames, alphas = None, [], []
    for frame in clip.unbind(dim=1):
        out, state, alpha_t = rstg.step(frame, EDGES, state=state, return_attention_weights=True)
        frames.append(out)
        alphas.append(alpha_t)
    torch.testing.assert_close(torch.stack(frames, dim=1), whole)
    torch.testing.assert_close(torch.stack(alphas, dim=1), alpha)
    torch.testing.assert_close(state, last_state)


def test_streaming_in_place_keeps_the_state_where_it_is(rstg, clip):
    whole, last_state = rstg(clip, EDGES)
    with torch.no_grad():
        _, state = rstg.step(clip[:, 0], EDGES, inplace=True)
        places = [tensor.data_ptr() for tensor in state]
        for t in range(1, 5):
            out, after = rstg.step(clip[:, t], EDGES, state=state, inplace=True)
            assert all(new is old for new, old in zip(after, state, strict=True))
            torch.testing.assert_close(out, whole[:, t])
    assert places == [tensor.data_ptr() for tensor in state]
    torch.testing.assert_close(state, last_state)
    with pytest.raises(ValueError, match="Expected 'inplace' to be False where gradients are on"):
        rstg.step(clip[:, 0], EDGES, state=state, inplace=True)


@settings(max_examples=20, deadline=None)
@given(schedule=st.sampled_from(SCHEDULES), rnn=st.sampled_from(RNNS), chunks=st.lists(st.integers(1, 4), max_size=4))
def test_chunks_of_any_size_equal_the_whole_clip(schedule, rnn, chunks):
    rstg = make(schedule, rnn)
    clip = torch.randn(2, sum(chunks) + 1, 4, 3, dtype=torch.float64)
    whole, last_state, alpha = rstg(clip, EDGES, return_attention_weights=True)
    state, outs = None, []
    for chunk in clip.split([*chunks, 1], dim=1):
        out, state, alpha_chunk = rstg(chunk, EDGES, state=state, return_attention_weights=True)
        outs.append((out, alpha_chunk))
    torch.testing.assert_close(torch.cat([out for out, _ in outs], dim=1), whole)
    torch.testing.assert_close(torch.cat([a for _, a in outs], dim=1), alpha)
    torch.testing.assert_close(state, last_state)


def test_no_frame_sees_the_future(rstg, clip):
    changed = clip.clone()
    changed[:, 3:] = 0
    before, after = rstg(clip, EDGES)[0], rstg(changed, EDGES)[0]
    torch.testing.assert_close(after[:, :3], before[:, :3])
    assert (after[:, 3:] != before[:, 3:]).any()


def test_a_frame_remembers_the_past(rstg, clip):
    changed = clip.clone()
    changed[:, 0] = 0
    differs = (rstg(clip, EDGES)[0][:, 1:] != rstg(changed, EDGES)[0][:, 1:]).any()
    assert differs == (rstg.schedule != "space_only")


@pytest.mark.parametrize("garbage", [0.0, 1e30, float("nan")])
@pytest.mark.parametrize("options", [{}, {"residual": True}, {"input_norm": "batch", "norm": "batch"}])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_lengths_hide_the_padding(schedule, garbage, options, clip):
    rstg = make(schedule, **options)
    lengths = torch.tensor([5, 2, 3])
    valid = torch.arange(5) < lengths[:, None]
    padded = clip.masked_fill(~valid[..., None, None], garbage).requires_grad_()
    out, state, alpha = rstg(padded, EDGES, lengths=lengths, return_attention_weights=True)
    out.square().sum().backward()
    assert not out[~valid].any()
    assert not alpha[~valid].any()
    assert not padded.grad[~valid].any()
    assert padded.grad.isfinite().all()
    if "norm" not in options:  # with batch statistics, clips are no longer independent
        for b, length in enumerate(lengths.tolist()):
            shorter, last_state, shorter_alpha = rstg(clip[b : b + 1, :length], EDGES, return_attention_weights=True)
            torch.testing.assert_close(out[b : b + 1, :length], shorter)
            torch.testing.assert_close(alpha[b : b + 1, :length], shorter_alpha)
            torch.testing.assert_close(tuple(s[b : b + 1] for s in state), last_state)


def test_batch_norm_takes_statistics_of_valid_frames_alone(clip):
    lengths = torch.tensor([5, 2, 3])
    rstg = make("space_only", input_norm="batch", num_iterations=1)
    rstg(clip, EDGES, lengths=lengths)
    valid = torch.cat([clip[b, :length] for b, length in enumerate(lengths)])
    expected = rstg.lin_in(valid).flatten(end_dim=1).mean(dim=0)
    torch.testing.assert_close(rstg.input_norm.running_mean / rstg.input_norm.momentum, expected)


def test_lengths_carry_the_state_over_chunks(rstg, clip):
    lengths = torch.tensor([5, 2, 3])
    _, expected = rstg(clip, EDGES, lengths=lengths)
    _, state = rstg(clip[:, :2], EDGES, lengths=lengths.clamp(max=2))
    out, state = rstg(clip[:, 2:], EDGES, state=state, lengths=(lengths - 2).clamp(min=0))
    torch.testing.assert_close(state, expected)
    assert not out[1].any()


def test_a_clip_without_frames_leaves_the_fresh_state(rstg, clip):
    out, state = rstg(clip, EDGES, lengths=torch.tensor([0, 5, 0]))
    assert not out[[0, 2]].any()
    fresh = rstg.reset_state(state, torch.tensor([True, True, True]))
    torch.testing.assert_close(tuple(s[[0, 2]] for s in state), tuple(s[[0, 2]] for s in fresh))


def test_reset_starts_a_sample_afresh_and_no_other(rstg, clip):
    _, state = rstg(clip[:, :2], EDGES)
    state = rstg.reset_state(state, torch.tensor([False, True, False]))
    out, _ = rstg(clip[:, 2:], EDGES, state=state)
    torch.testing.assert_close(out[[0, 2]], rstg(clip, EDGES)[0][[0, 2], 2:])
    torch.testing.assert_close(out[1], rstg(clip[:, 2:], EDGES)[0][1])


@pytest.mark.parametrize("reset", [torch.tensor([0, 1, 0]), torch.tensor([True]), torch.ones(3, 1, dtype=torch.bool)])
def test_reset_of_other_samples_than_there_are(rstg, clip, reset):
    _, state = rstg(clip, EDGES)
    if state:
        with pytest.raises(ValueError, match=r"Expected 'reset' to be bool of shape \[3\] \(got torch\."):
            rstg.reset_state(state, reset)


@pytest.mark.parametrize("rnn", RNNS)
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("num_frames", [1, 2])
def test_state_of_another_type(schedule, rnn, num_frames):
    rstg, clip = RSTG(3, 4, 2, schedule=schedule, rnn=rnn).double(), torch.randn(2, 4, 4, 3, dtype=torch.float64)
    _, state = rstg(clip[:, :2], EDGES)
    of_floats = tuple(s.float() if s.is_floating_point() else s for s in state)
    out, after = rstg(clip[:, 2 : 2 + num_frames], EDGES, state=of_floats)
    assert out.dtype == torch.float64
    assert [s.dtype for s in after] == [s.dtype for s in state]
    torch.testing.assert_close(out, rstg(clip[:, 2 : 2 + num_frames], EDGES, state=state)[0], rtol=1e-4, atol=1e-5)


def test_state_is_plain_tensors_that_can_be_saved_and_detached(rstg, clip, tmp_path):
    _, state = rstg(clip[:, :2], EDGES)
    assert isinstance(state, tuple)
    torch.save(state, tmp_path / "state.pt")
    loaded = torch.load(tmp_path / "state.pt", weights_only=True)
    detached = tuple(s.detach() for s in loaded)
    torch.testing.assert_close(rstg(clip[:, 2:], EDGES, state=detached)[0], rstg(clip, EDGES)[0][:, 2:])


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_edge_layouts_agree(schedule, clip):
    rstg = make(schedule)
    # The sparse layouts return the attention in the order of the destinations.
    edges = EDGES[:, (EDGES[1] * 4 + EDGES[0]).argsort()]
    edge_weight = torch.rand(6, dtype=torch.float64)
    expected = rstg(clip, edges, edge_weight=edge_weight, return_attention_weights=True)
    typed = EdgeIndex(edges, sparse_size=(4, 4), sort_order="col")
    torch.testing.assert_close(rstg(clip, typed, None, edge_weight, return_attention_weights=True), expected)
    for layout in (to_torch_csr_tensor, to_torch_coo_tensor):
        adj_t = layout(edges.flip(0), edge_weight, size=(4, 4))
        torch.testing.assert_close(rstg(clip, adj_t, return_attention_weights=True), expected)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_disjoint_batch_equals_static_graph(schedule, device):
    pyramid = GridPyramid()
    rstg = make(schedule, pos_channels=36, num_groups=3).to(device)
    pos_map = pyramid.pos_map().double()
    clips = torch.randn(3, 4, 14, 3, dtype=torch.float64)
    static, _, alpha = rstg(
        clips.to(device),
        pyramid.edge_index.to(device),
        pos_map.to(device),
        group=pyramid.scale.to(device),
        return_attention_weights=True,
    )
    graphs = [
        Data(x=clip.transpose(0, 1), edge_index=pyramid.edge_index, pos_map=pos_map, group=pyramid.scale)
        for clip in clips
    ]
    batch = Batch.from_data_list(graphs).to(device)
    x = batch.x.transpose(0, 1)[None]
    out, _, batch_alpha = rstg(x, batch.edge_index, batch.pos_map, group=batch.group, return_attention_weights=True)
    torch.testing.assert_close(out[0].unflatten(1, (3, 14)).transpose(0, 1), static)
    unbatched = batch_alpha[0].unflatten(-1, (3, alpha.size(-1))).permute(2, 0, 1, 3)
    torch.testing.assert_close(unbatched, alpha)
    for readout in (NodesToVec("last"), NodesToVec("mean")):
        torch.testing.assert_close(readout(out, batch=batch.batch), readout(static))


@pytest.mark.parametrize("edge_index", [torch.empty(2, 0, dtype=torch.long)])
@pytest.mark.parametrize("num_nodes", [1, 4])
def test_no_edges_and_one_node(rstg, edge_index, num_nodes, reference_conv):
    clip = torch.randn(2, 3, num_nodes, 3, dtype=torch.float64)
    out, _, alpha = rstg(clip, edge_index, return_attention_weights=True)
    assert alpha.shape == (2, 3, rstg.num_space_stages, 0)
    torch.testing.assert_close(out[1], slow_rstg(rstg, clip[1], edge_index, reference_conv)[0])


def test_gradients(rstg):
    clip = torch.randn(1, 2, 4, 3, dtype=torch.float64, requires_grad=True)
    names, parameters = zip(*rstg.named_parameters(), strict=True)

    def run(clip, *parameters):
        return torch.func.functional_call(rstg, dict(zip(names, parameters, strict=True)), (clip, EDGES))[0]

    assert torch.autograd.gradcheck(run, (clip, *parameters), fast_mode=True)


def test_every_parameter_gets_a_gradient(rstg, clip):
    out, _ = rstg(clip, EDGES)
    out.square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for name, p in rstg.named_parameters())


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("lengths", [None, torch.tensor([4, 2])])
def test_bfloat16_autocast_streams_and_is_near_float32(schedule, lengths, device):
    pyramid = GridPyramid().to(device)
    rstg = RSTG(6, 8, 2, pos_channels=36, schedule=schedule, input_norm="layer", norm="layer").to(device)
    clip = torch.randn(2, 4, 14, 6, device=device, requires_grad=True)
    lengths = None if lengths is None else lengths.to(device)
    inputs = (pyramid.edge_index, pyramid.pos_map())
    expected, _ = rstg(clip, *inputs, lengths=lengths)
    with torch.autocast(device.type, dtype=torch.bfloat16):
        out, _ = rstg(clip, *inputs, lengths=lengths)
        half, state = rstg(clip[:, :2], *inputs)
        streamed, _ = rstg(clip[:, 2:], *inputs, state=state)
    torch.testing.assert_close(out.float(), expected, rtol=0.1, atol=0.15)
    if lengths is None:
        torch.testing.assert_close(torch.cat([half, streamed], dim=1).float(), expected, rtol=0.1, atol=0.15)
    out.float().square().sum().backward()
    assert clip.grad.isfinite().all()


@pytest.mark.parametrize("schedule", SCHEDULES[:-1])  # homogeneous unrolls over time: too long a graph for a test
def test_compile_of_the_whole_graph_equals_eager(schedule):
    torch._dynamo.reset()
    rstg = RSTG(6, 8, 1, pos_channels=36, schedule=schedule)
    pyramid = GridPyramid()
    inputs = (torch.randn(2, 3, 14, 6), pyramid.edge_index, pyramid.pos_map())
    with torch._dynamo.config.patch(allow_rnn=True):
        compiled = torch.compile(rstg, backend="eager", fullgraph=True)
        torch.testing.assert_close(compiled(*inputs), rstg(*inputs))
    torch._dynamo.reset()


def test_compile_with_gradients_as_the_docs_say():
    torch._dynamo.reset()
    rstg = RSTG(4, 4, 1, schedule="one_temp")
    inputs = (torch.randn(2, 3, 14, 4), GridPyramid().edge_index)
    compiled = torch.compile(rstg, backend="aot_eager", fullgraph=True)
    with torch._dynamo.config.patch(allow_rnn=True), torch.backends.mkldnn.flags(enabled=False):
        out, _ = compiled(*inputs)
    expected, _ = rstg(*inputs)
    torch.testing.assert_close(out, expected)
    parameters = list(rstg.parameters())
    torch.testing.assert_close(
        torch.autograd.grad(out.square().sum(), parameters), torch.autograd.grad(expected.square().sum(), parameters)
    )
    torch._dynamo.reset()


def test_lazy_size_and_state_dict_round_trip(rstg, tmp_path):
    clip = torch.randn(2, 3, 4, 3, dtype=torch.float64)
    torch.save(rstg.state_dict(), tmp_path / "rstg.pt")
    other = RSTG(-1, 4, 2, schedule=rstg.schedule).double()
    other.load_state_dict(torch.load(tmp_path / "rstg.pt", weights_only=True))
    torch.testing.assert_close(other(clip, EDGES), rstg(clip, EDGES))
    fresh = RSTG(-1, 4, 2, schedule=rstg.schedule).double()
    assert fresh(clip, EDGES)[0].shape == (2, 3, 4, 4)
    fresh.reset_parameters()
    assert fresh(clip, EDGES)[0].isfinite().all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"schedule": "alltemp"}, r"Expected 'schedule' to be one of \['all_temp', .*\] \(got 'alltemp'\)"),
        ({"rnn": "qrnn"}, r"Expected 'rnn' to be one of \['lstm', 'gru', 'rnn'\] \(got 'qrnn'\)"),
        ({"attention": "cosine"}, r"Expected 'attention' to be one of .* \(got 'cosine'\)"),
        ({"norm": "group"}, r"Expected 'norm' to be one of .* \(got 'group'\)"),
        ({"input_norm": "group"}, r"Expected 'input_norm' to be one of .* \(got 'group'\)"),
        ({"num_iterations": 0}, r"Expected 'num_iterations' to be positive \(got 0\)"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        RSTG(3, 4, **arguments)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("name", ["rnn", "attention", "norm"])
def test_bad_choices_are_errors_in_every_schedule(schedule, name):
    with pytest.raises(ValueError, match=f"Expected '{name}' to be one of"):
        RSTG(3, 4, schedule=schedule, **{name: "other"})


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"x": torch.rand(5, 4, 3)}, r"Expected 'x' to be of shape \[B, T, N, C\].*\(got \[5, 4, 3\]\)"),
        ({"x": torch.rand(2, 5, 0, 3)}, r"with B, T, N > 0 \(got \[2, 5, 0, 3\]\)"),
        ({"x": torch.rand(2, 0, 4, 3)}, r"with B, T, N > 0 \(got \[2, 0, 4, 3\]\)"),
        ({"x": torch.zeros(2, 5, 4, 3, dtype=torch.uint8)}, r"floating point type \(got torch.uint8\)"),
        ({"x": torch.rand(2, 5, 4, 7)}, r"Expected 'x' to have 3 features \(got 7\)"),
        ({"pos_map": torch.rand(3, 2)}, r"Expected 'pos_map' to be of shape \[4, 2\] \(got \[3, 2\]\)"),
        ({"group": torch.zeros(3, dtype=torch.long)}, r"Expected 'group' to be int64 of shape \[4\]"),
        (
            {"lengths": torch.tensor([1, 2, 3])},
            r"Expected 'lengths' to be int64 of shape \[2\] \(got torch.int64 \[3\]\)",
        ),
        ({"lengths": torch.tensor([1.0, 2.0])}, r"Expected 'lengths' to be int64 of shape \[2\] \(got torch.float32"),
        ({"state": (torch.zeros(2, 4, 4, 4),)}, r"Expected 'state' to be a tuple of tensors of shapes"),
    ],
)
def test_bad_inputs(inputs, message):
    rstg = RSTG(3, 4, pos_channels=2, num_groups=2)
    good = {"x": torch.rand(2, 5, 4, 3), "edge_index": EDGES, "pos_map": torch.rand(4, 2), "group": EDGES.new_zeros(4)}
    rstg(**good)
    with pytest.raises(ValueError, match=message):
        rstg(**(good | inputs))


@pytest.mark.parametrize("edge", [(4, 0), (0, 4), (-1, 0), (7, 3)])
def test_an_edge_of_no_node_is_an_index_error(edge):
    # With a homogeneous graph, number 4 and up are the pasts of the four nodes.
    for schedule in ("homogeneous", "all_temp", "space_only"):
        edges = torch.cat([EDGES, torch.tensor(edge)[:, None]], dim=1)
        with pytest.raises(IndexError, match="'edge_index'"):
            make(schedule)(torch.rand(1, 2, 4, 3, dtype=torch.float64), edges)


@pytest.mark.parametrize("schedule", ["homogeneous", "all_temp"])
def test_edges_of_another_number_of_nodes_are_an_error(schedule):
    x = torch.rand(1, 2, 4, 3, dtype=torch.float64)
    for edges in (EdgeIndex(EDGES, sparse_size=(8, 8)), to_torch_csr_tensor(EDGES.flip(0), size=(8, 8)).double()):
        with pytest.raises(ValueError, match="size 4 in dimension -2, but expected size 8"):
            make(schedule)(x, edges)


def test_bad_frame_and_state_of_another_batch(rstg):
    with pytest.raises(ValueError, match=r"Expected 'frame' to be of shape \[B, N, C\] \(got \[2, 3, 4, 3\]\)"):
        rstg.step(torch.rand(2, 3, 4, 3), EDGES)
    if rstg.num_memories:
        _, state = rstg(torch.rand(3, 2, 4, 3, dtype=torch.float64), EDGES)
        with pytest.raises(ValueError, match="Expected 'state' to be a tuple of tensors of shapes"):
            rstg(torch.rand(2, 2, 4, 3, dtype=torch.float64), EDGES, state=state)
