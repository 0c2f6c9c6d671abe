"""The recurrent graph over tracks: against the grid's, under permutation, with nodes that come and go."""

import pytest
import torch
from torch_geometric.data import Batch, Data

from rstg_pyg import RSTG, GridPyramid
from rstg_pyg.nn import NodesToVec, TrackRSTG, TracksToVec

SCHEDULES = ["all_temp", "one_temp", "space_only", "time_only"]
T, N = 4, 3
# Frame by frame, which of the tracks 7, 2, 5 and 11 are there: 2 is away and comes back, 11 comes late, 7 leaves.
SEEN = [[7, 2, 5], [7, 5], [2, 5, 11], [11, 5, 2]]


@pytest.fixture(params=SCHEDULES)
def model(request):
    rstg = RSTG(3, 4, num_iterations=2, schedule=request.param, pos_channels=2, residual=True).double()
    for parameter in rstg.parameters():
        torch.nn.init.normal_(parameter, std=0.6)
    return TrackRSTG(rstg)


def all_pairs(seen=SEEN):
    """Edges between all nodes of a frame."""
    frame = torch.tensor([t for t, tracks in enumerate(seen) for _ in tracks])
    joined = (frame[:, None] == frame) & ~torch.eye(len(frame), dtype=torch.bool)
    return joined.nonzero().t().flip(0), frame


def sequence(seen=SEEN):
    edge_index, frame = all_pairs(seen)
    track = torch.tensor([track for tracks in seen for track in tracks])
    x, pos_map = torch.randn(len(frame), 3).double(), torch.rand(len(frame), 2).double()
    return Data(x=x, edge_index=edge_index, frame=frame, track=track, pos_map=pos_map)


def run(model, data, **options):
    batch = data.batch if isinstance(data, Batch) else None
    return model(data.x, data.edge_index, data.frame, data.track, batch, data.pos_map, **options)


@pytest.mark.parametrize("readout", ["last", "mean"])
def test_grid_as_tracks_equals_the_grid(model, readout):
    pyramid = GridPyramid((2, 1))
    nodes, num_edges = pyramid.num_nodes, pyramid.num_edges
    clips, pos_map = torch.randn(2, T, nodes, 3).double(), torch.rand(nodes, 2).double()
    expected, state, alpha = model.rstg(clips, pyramid.edge_index, pos_map, return_attention_weights=True)

    first = nodes * torch.arange(2 * T)
    edge_index = (pyramid.edge_index[:, None] + first[:, None]).flatten(start_dim=1)
    clip, frame, track = torch.ones(2, T, nodes, dtype=torch.bool).nonzero().unbind(dim=1)
    out, (tracks, *memories), weights = model(
        clips.flatten(end_dim=2), edge_index, frame, track, clip, pos_map.repeat(2 * T, 1), None, None, None, True
    )
    torch.testing.assert_close(out.view_as(expected), expected)
    torch.testing.assert_close(weights.view(-1, 2, T, num_edges).permute(1, 2, 0, 3), alpha)
    assert tracks.tolist() == [[b, n] for b in range(2) for n in range(nodes)]
    for own, whole in zip(memories, state, strict=True):
        torch.testing.assert_close(own.view(2, nodes, -1, 4).transpose(1, 2), whole)
    vector = TracksToVec(readout)(out, frame, track, clip)
    torch.testing.assert_close(vector, NodesToVec(readout)(expected))


def test_order_of_the_nodes_does_not_matter(model):
    data = sequence()
    expected, state = run(model, data)
    order = torch.randperm(len(data.x))
    place = order.argsort()
    shuffled = Data(
        x=data.x[order],
        edge_index=place[data.edge_index],
        frame=data.frame[order],
        track=data.track[order],
        pos_map=data.pos_map[order],
    )
    out, same_state = run(model, shuffled)
    torch.testing.assert_close(out, expected[order])
    torch.testing.assert_close(same_state, state)
    for readout in (TracksToVec("last"), TracksToVec("mean")):
        vector = readout(out, shuffled.frame, shuffled.track)
        torch.testing.assert_close(vector, readout(expected, data.frame, data.track))


def test_batch_of_the_loader_equals_one_by_one(model):
    clips = [sequence(), sequence([[5], [7, 5]]), sequence([[3, 2], [3, 2], [2], [2], [3]])]
    batch = Batch.from_data_list(clips)  # tracks of different clips have equal numbers
    out, state = run(model, batch)
    apart = [run(model, clip) for clip in clips]
    torch.testing.assert_close(out, torch.cat([nodes for nodes, _ in apart]))
    for b, (_, own) in enumerate(apart):
        rows = state[0][:, 0] == b
        torch.testing.assert_close(state[0][rows, 1], own[0][:, 1])
        torch.testing.assert_close(tuple(s[rows] for s in state[1:]), own[1:])
    for readout in (TracksToVec("last"), TracksToVec("mean")):
        vectors = torch.cat(
            [readout(nodes, clip.frame, clip.track) for (nodes, _), clip in zip(apart, clips, strict=True)]
        )
        vector = readout(out, batch.frame, batch.track, batch.batch, batch_size=4)
        torch.testing.assert_close(vector, torch.cat([vectors, vectors.new_zeros(1, 4)]))


def test_frame_by_frame_equals_the_whole_clip(model):
    data = sequence()
    expected, last_state, expected_alpha = run(model, data, return_attention_weights=True)
    state, outs, alphas = None, [], []
    for t in range(T):
        frame = data.subgraph(data.frame == t)
        out, state, alpha = model.step(
            frame.x,
            frame.edge_index,
            frame.track,
            pos_map=frame.pos_map,
            state=state,
            return_attention_weights=True,
        )
        outs.append(out)
        alphas.append(alpha)
    torch.testing.assert_close(torch.cat(outs), expected)
    torch.testing.assert_close(torch.cat(alphas, dim=1), expected_alpha)
    torch.testing.assert_close(state, last_state)


def test_chunks_equal_the_whole_clip(model):
    data = sequence()
    expected, last_state = run(model, data)
    first, state = run(model, data.subgraph(data.frame < 2))
    second, state = run(model, data.subgraph(data.frame >= 2), state=state)
    torch.testing.assert_close(torch.cat([first, second]), expected)
    torch.testing.assert_close(state, last_state)


def test_absent_node_is_as_one_without_edges(model):
    data = sequence([[1, 2, 3]] * T)
    gone = (data.frame == 2) & (data.track == 2)
    without = data.subgraph(~gone)
    cut = ~gone[data.edge_index].any(dim=0)
    out, _ = run(model, without)
    alone, _ = model(data.x, data.edge_index[:, cut], data.frame, data.track, None, data.pos_map)
    others = data.track != 2
    before = data.frame < 2
    # Until the node is back the others cannot tell; then it comes with a memory that is one frame younger.
    kept = (others | before) & (data.frame <= 2)
    torch.testing.assert_close(out[kept[~gone]], alone[kept])


def test_absent_track_keeps_its_memory_and_a_new_track_starts_from_zeros():
    model = TrackRSTG(RSTG(4, 4, schedule="time_only"))
    x = torch.randn(3, 4)
    no_edges = torch.empty(2, 0, dtype=torch.int64)
    gap, _ = model(x, no_edges, torch.tensor([0, 4, 9]), torch.tensor([1, 1, 1]))
    dense, _ = model(x, no_edges, torch.tensor([0, 1, 2]), torch.tensor([1, 1, 1]))
    torch.testing.assert_close(gap, dense)
    anew, state = model(x, no_edges, torch.tensor([0, 4, 9]), torch.tensor([1, 1, 2]))
    single, _ = model(x[2:], no_edges, torch.tensor([0]), torch.tensor([5]))
    torch.testing.assert_close(anew[2:], single)

    keep = state[0][:, 1] != 1
    forgotten, _ = model.step(x[:2], no_edges, torch.tensor([1, 2]), state=tuple(tensor[keep] for tensor in state))
    known, _ = model.step(x[:2], no_edges, torch.tensor([1, 2]), state=state)
    fresh, _ = model.step(x[:1], no_edges, torch.tensor([1]))
    torch.testing.assert_close(forgotten, torch.cat([fresh, known[1:]]))


def test_frames_without_nodes_leave_the_memories_as_they_were(model):
    data = sequence()
    nothing = data.subgraph(data.frame < 0)
    out, fresh, alpha = run(model, nothing, return_attention_weights=True)
    expected, last_state = run(model, data)
    assert out.shape == (0, 4)
    assert alpha.shape == (model.rstg.num_space_stages, 0)
    torch.testing.assert_close(run(model, data, state=fresh), (expected, last_state))
    _, state = run(model, nothing, state=last_state)
    torch.testing.assert_close(state, last_state)
    assert TracksToVec()(out, nothing.frame, nothing.track).tolist() == [[0.0] * 4]


@pytest.mark.parametrize("rnn", ["gru", "rnn"])
def test_other_cells_stream_too(rnn):
    model = TrackRSTG(RSTG(3, 4, num_iterations=1, rnn=rnn, pos_channels=2).double())
    data = sequence()
    expected, _ = run(model, data)
    state, outs = None, []
    for t in range(T):
        frame = data.subgraph(data.frame == t)
        out, state = model.step(frame.x, frame.edge_index, frame.track, pos_map=frame.pos_map, state=state)
        outs.append(out)
    torch.testing.assert_close(torch.cat(outs), expected)


def test_gradients(model):
    data = sequence([[1, 2], [2], [2, 1]])
    x = data.x.requires_grad_()
    call = lambda x: model(x, data.edge_index, data.frame, data.track, None, data.pos_map)[0]  # noqa: E731
    assert torch.autograd.gradcheck(call, x)


def test_read_out_by_hand():
    x = torch.tensor([[1.0], [2.0], [4.0], [8.0]])
    frame, track = torch.tensor([0, 0, 1, 3]), torch.tensor([6, 9, 6, 4])
    assert TracksToVec("last")(x, frame, track).tolist() == [[2.0 + 4.0 + 8.0]]
    assert TracksToVec("mean")(x, frame, track).tolist() == [[2.0 + 2.5 + 8.0]]
    assert repr(TracksToVec("mean")) == "TracksToVec(readout='mean')"


def test_errors():
    with pytest.raises(ValueError, match=r"Expected 'rstg' to have another schedule .* \(got 'homogeneous'\)"):
        TrackRSTG(RSTG(4, 4, schedule="homogeneous"))
    model = TrackRSTG(RSTG(3, 4))
    edge_index, frame = all_pairs([[1, 2]])
    track = torch.tensor([1, 2])
    with pytest.raises(ValueError, match=r"Expected 'x' to be floating point of shape \[M, C\] .* \[1, 2, 3\]\)"):
        model(torch.rand(1, 2, 3), edge_index, frame, track)
    with pytest.raises(ValueError, match=r"Expected 'x' to have 3 features \(got 5\)"):
        model(torch.rand(2, 5), edge_index, frame, track)
    with pytest.raises(ValueError, match=r"Expected 'track' to be int64 of shape \[2\] \(got torch.float32 \[2\]\)"):
        model(torch.rand(2, 3), edge_index, frame, track.float())
    _, state = model(torch.rand(2, 3), edge_index, frame, track)
    with pytest.raises(
        ValueError, match=r"Expected 'state' .* \[\[2, 2\], \[2, 4, 4\], \[2, 4, 4\]\] \(got .*\[1, 4, 4\]"
    ):
        model.step(torch.rand(2, 3), edge_index, track, state=(*state[:2], state[2][:1]))
    with pytest.raises(ValueError, match=r"Expected 'readout' to be one of \['last', 'mean'\] \(got 'max'\)"):
        TracksToVec("max")
    with pytest.raises(ValueError, match=r"Expected 'x' to be of shape \[M, D\] \(got \[1, 2, 3\]\)"):
        TracksToVec()(torch.rand(1, 2, 3), frame, track)
    with pytest.raises(ValueError, match=r"Expected 'frame' to be of shape \[2\] \(got \[1\]\)"):
        TracksToVec()(torch.rand(2, 3), frame[:1], track)
