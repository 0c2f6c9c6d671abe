from dataclasses import fields

import pytest
import torch
from torch.nn import functional as F
from torch_geometric.data import Batch, Data
from torch_geometric.explain import AttentionExplainer, Explainer, GNNExplainer

from rstg_pyg import RSTG, GridPyramid, RSTGBlock, RSTGConv, VideoClassifier
from rstg_pyg.models import ClassifierHead, InflatedResNet, PooledRSTGToVec, SmallCNN, SmallI3D, TorchvisionBackbone
from rstg_pyg.nn import RSTGToVec, TrackRSTG
from rstg_pyg.nn.rstg import SCHEDULES
from rstg_pyg.transforms import SpaceTimeGraph
from rstg_pyg.viz import draw_attention, draw_attribution, draw_pyramid, record
from rstg_pyg.viz.record import Record, as_record, first_frames

PYRAMID = GridPyramid((2, 1))  # 5 nodes, 16 edges


def make_classifier(**graph):
    graph = RSTGToVec(channels=6, node_channels=8, pyramid=(2, 1), **graph)
    return VideoClassifier(SmallCNN(1, (4, 6)), graph, ClassifierHead(8, 3, hidden_channels=5, dropout=0.5)).eval()


def message_norms(conv, x, edge_index, alpha, pos_map):
    """‖α·m‖ of one graph, edge by edge, with the concatenation of equation 1 written out."""
    first = torch.cat([conv.lin_source.weight, conv.lin_destination.weight, conv.lin_pos.weight], dim=1)
    norms = []
    for (j, i), weight in zip(edge_index.t().tolist(), alpha, strict=True):
        hidden = (first @ torch.cat([x[j], x[i], pos_map[j]]) + conv.lin_destination.bias).relu()
        norms.append((weight * (conv.lin_send.weight @ hidden + conv.lin_send.bias).relu()).norm())
    return torch.stack(norms)


def lstm_step(cell, x, h, c):
    """An LSTM cell on ``[N, D]``, gate by gate: new h and c, mean input, forget and output gate."""
    weight_x, weight_h, bias_x, bias_h = cell.rnn.all_weights[0]
    i, f, g, o = (x @ weight_x.t() + bias_x + h @ weight_h.t() + bias_h).chunk(4, dim=-1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    gates = torch.stack([gate.sigmoid().mean(dim=-1) for gate in (i, f, o)], dim=-1)
    return o.sigmoid() * c.tanh(), c, gates


@torch.no_grad()
def test_record_equals_the_stages_worked_through_one_by_one(reference_conv):
    num_clips, num_frames, num_iterations = 2, 3, 2
    rstg = RSTG(6, 8, num_iterations=num_iterations, pos_channels=4, residual=True)
    x, pos_map = torch.randn(num_clips, num_frames, 5, 6), torch.rand(5, 4)
    with record(rstg) as rec:
        rstg(x, PYRAMID.edge_index, pos_map)

    assert rec.stages == ("input", "time 0", "space 0", "time 1", "space 1", "time 2")
    assert rec.gate_names == ("input", "forget", "output")
    for b in range(num_clips):
        memory = [(torch.zeros(5, 8), torch.zeros(5, 8)) for _ in range(num_iterations + 1)]
        for t in range(num_frames):
            nodes = rstg.lin_in(x[b, t])
            states, gates = [nodes], []
            for k in range(num_iterations + 1):
                h, c, gate = lstm_step(rstg.time if k < num_iterations else rstg.last_time, nodes, *memory[k])
                memory[k] = (h, c)
                nodes = nodes + h
                states.append(nodes)
                gates.append(gate)
                if k == num_iterations:
                    break
                after, alpha = reference_conv(rstg.space, nodes, PYRAMID.edge_index, pos_map)
                torch.testing.assert_close(rec.attention[b, t, k], alpha)
                norms = message_norms(rstg.space, nodes, PYRAMID.edge_index, alpha, pos_map)
                torch.testing.assert_close(rec.message_norm[b, t, k], norms)
                nodes = after
                states.append(nodes)
            torch.testing.assert_close(rec.states[b, t], torch.stack(states))
            torch.testing.assert_close(rec.state_norm[b, t], torch.stack(states).square().sum(dim=-1).sqrt())
            torch.testing.assert_close(rec.gates[b, t], torch.stack(gates))


def test_gru_gates_lead_to_the_states_seen():
    rstg = RSTG(8, 8, schedule="time_only", rnn="gru").requires_grad_(False)
    x = torch.randn(1, 2, 5, 8)
    with record(rstg) as rec:
        rstg(x, PYRAMID.edge_index)
    cell, hidden = rstg.last_time.rnn, torch.zeros(5, 8)
    weight_x, weight_h, bias_x, bias_h = cell.all_weights[0]
    for t in range(2):
        (reset_x, update_x, new_x), (reset_h, update_h, new_h) = (
            sums.chunk(3, dim=-1) for sums in (F.linear(x[0, t], weight_x, bias_x), F.linear(hidden, weight_h, bias_h))
        )
        reset, update = (reset_x + reset_h).sigmoid(), (update_x + update_h).sigmoid()
        hidden = (1 - update) * (new_x + reset * new_h).tanh() + update * hidden
        torch.testing.assert_close(rec.states[0, t, 1], hidden)
        torch.testing.assert_close(rec.gates[0, t, 0], torch.stack([reset.mean(dim=-1), update.mean(dim=-1)], dim=-1))
    assert rec.attention.shape == (1, 2, 0, 16)
    assert (rec.stages, rec.gate_names) == (("input", "time 0"), ("reset", "update"))


@pytest.mark.parametrize("input_norm", [None, "layer", "batch"])
@pytest.mark.parametrize("lengths", [None, [3, 1, 2]])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_record_holds_what_the_graph_returns(schedule, lengths, input_norm):
    rstg = RSTG(6, 8, num_iterations=2, schedule=schedule, input_norm=input_norm).eval()
    if input_norm == "batch":
        rstg.input_norm.running_mean.normal_()
    x = torch.randn(3, 3, 5, 6)
    with record(rstg) as rec:
        out, _, attention = rstg(
            x,
            PYRAMID.edge_index,
            lengths=None if lengths is None else torch.tensor(lengths),
            return_attention_weights=True,
        )
    torch.testing.assert_close(rec.states[:, :, -1], out)
    entered = rstg.input_norm(rstg.lin_in(x).flatten(end_dim=-2)).view(3, 3, 5, 8)
    valid = torch.tensor(lengths or [3, 3, 3])[:, None] > torch.arange(3)
    torch.testing.assert_close(rec.states[:, :, 0], entered * valid[:, :, None, None])
    torch.testing.assert_close(rec.attention, attention)
    assert rec.message_norm.shape == rec.attention.shape
    assert rec.states.size(2) == len(rec.stages) == 1 + rstg.num_space_stages + rec.gates.size(2)
    assert torch.equal(rec.edge_index, PYRAMID.edge_index)
    assert not rec.states.requires_grad
    if lengths is not None:
        for tensor in (rec.attention, rec.message_norm, rec.states, rec.gates):
            assert not tensor[1, 1:].any()
        # A clip that is padded shows what it shows alone.
        with record(rstg) as alone:
            rstg(x[1:2, :1], PYRAMID.edge_index)
        for name in ("attention", "message_norm", "states", "gates"):
            torch.testing.assert_close(getattr(rec, name)[1:2, :1], getattr(alone, name))


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_stream_is_recorded_frame_by_frame(schedule):
    rstg = RSTG(6, 8, num_iterations=2, schedule=schedule)
    x = torch.randn(2, 4, 5, 6)
    with record(rstg) as whole:
        rstg(x, PYRAMID.edge_index)
    with record(rstg) as stream:
        rstg(torch.randn(1, 9, 5, 6), PYRAMID.edge_index)  # another clip before: forgotten
        state = None
        for frame in x.unbind(dim=1):
            _, state = rstg.step(frame, PYRAMID.edge_index, state=state)
    for name in ("attention", "message_norm", "states", "gates"):
        torch.testing.assert_close(getattr(stream, name), getattr(whole, name))


def test_record_begins_anew_where_streams_end():
    rstg = RSTG(6, 8, num_iterations=2)
    x = torch.randn(2, 3, 5, 6)
    with record(rstg) as both:
        _, state = rstg(x, PYRAMID.edge_index)
        rstg.step(x[1:, 0], PYRAMID.edge_index, state=tuple(s[1:] for s in state))
    with record(rstg) as one:
        rstg.step(x[1:, 0], PYRAMID.edge_index, state=tuple(s[1:] for s in state))
    torch.testing.assert_close(both.states, one.states)


def test_no_scores_over_time_behind_a_backbone_that_looks_ahead():
    graph = RSTGToVec(16, 16, pyramid=(2, 1))
    model = VideoClassifier(SmallI3D(1, widths=(4, 16), blocks=(1, 1)), graph, ClassifierHead(16, 3)).eval()
    rec = as_record(torch.rand(1, 4, 1, 24, 24), model)
    assert rec.scores is None
    assert rec.attention.size(1) == 4


def test_sparse_adjacency_gives_the_same_record():
    rstg, x = RSTG(6, 8, num_iterations=1), torch.randn(1, 2, 5, 6)
    adj_t = torch.sparse_coo_tensor(PYRAMID.edge_index.flip(0), torch.ones(16), (5, 5)).coalesce()
    with record(rstg) as dense:
        rstg(x, PYRAMID.edge_index)
    with record(rstg) as sparse:
        rstg(x, adj_t)
    assert torch.equal(sparse.edge_index, dense.edge_index)  # both sorted by destination
    torch.testing.assert_close(sparse.message_norm, dense.message_norm)


@pytest.mark.parametrize("readout", ["last", "mean"])
def test_scores_over_time_are_those_of_shorter_clips(readout):
    model = make_classifier(readout=readout)
    video = torch.rand(2, 4, 1, 16, 16)
    with record(model, class_names=["a", "b", "c"]) as rec:
        logits = model(video)
    torch.testing.assert_close(rec.scores[:, -1], logits)
    for t in range(1, 5):
        torch.testing.assert_close(rec.scores[:, t - 1], model(video[:, :t]))
    assert rec.class_names == ("a", "b", "c")
    assert torch.equal(rec.video, video)
    assert torch.equal(rec.box, PYRAMID.box)
    assert torch.equal(rec.scale, PYRAMID.scale)

    lengths = torch.tensor([4, 2])
    with record(model) as padded:
        logits = model(video, lengths=lengths)
    torch.testing.assert_close(padded.scores[:, -1], logits)
    torch.testing.assert_close(padded.scores[1, 1], logits[1])
    assert padded.class_names == ("0", "1", "2")
    model.config = {"class_names": ["d", "e", "f"]}  # as of a model that was loaded from its folder
    assert as_record(video, model).class_names == ("d", "e", "f")


def test_frames_beside_a_backbone_that_pools_time_are_the_first_behind_each_step():
    graph = PooledRSTGToVec(channels=16, node_channels=4, pyramid=(2, 1))
    backbone = InflatedResNet(inflation="c2d", depth=18, width=2, res5_stride=1)
    model = VideoClassifier(backbone, graph, ClassifierHead(16, 3)).eval()
    video = torch.rand(1, 6, 3, 32, 32)
    rec = as_record(video, model)
    assert rec.attention.size(1) == 3
    assert torch.equal(rec.video, video[:, [0, 2, 4]])
    assert torch.equal(as_record(video[:, :5], model).video, video[:, [0, 2]])  # the fifth frame is in no pair
    assert rec.scores is None  # the vector is not all that the head sees


@pytest.mark.parametrize(
    ("num_frames", "num_steps", "frames"),
    [
        (9, 5, [0, 2, 4, 6, 8]),  # a stride of two, rounded up as by r3d_18's layer2
        (10, 3, [0, 4, 8]),  # of four
        (5, 2, [0, 2]),  # a pool of two, rounded down
        (9, 3, [0, 3, 6]),
        (4, 4, [0, 1, 2, 3]),
    ],
)
def test_first_frames_behind_strides(num_frames, num_steps, frames):
    video = torch.arange(num_frames).view(1, -1, 1, 1, 1)
    assert first_frames(video, num_steps, torch.nn.Identity()).flatten().tolist() == frames


@torch.no_grad()
@pytest.mark.parametrize(("num_frames", "frames"), [(8, [0]), (9, [0, 8]), (12, [0, 8])])
def test_first_frames_behind_a_backbone_that_says_how_many_pass_from_step_to_step(num_frames, frames):
    model = VideoClassifier(TorchvisionBackbone("r2plus1d_18"), RSTGToVec(512, 4, pyramid=(1,)), ClassifierHead(4, 3))
    video = torch.rand(1, num_frames, 3, 16, 16)
    assert torch.equal(as_record(video, model.eval()).video, video[:, frames])


def test_recording_changes_neither_result_nor_gradient_and_leaves_no_trace():
    model = make_classifier().train()
    model.head[3].p = 0.0
    video = torch.rand(2, 3, 1, 16, 16)
    conv = model.graph.rstg.space

    def run():
        model.zero_grad()
        out = model(video)
        out.square().sum().backward()
        return out, [p.grad.clone() for p in model.parameters()]

    before = run()
    with record(model) as rec:
        inside = run()
        assert not conv._can_fuse(PYRAMID.edge_index)
    after = run()
    torch.testing.assert_close(inside, before)
    assert torch.equal(after[0], before[0])
    assert conv._can_fuse(PYRAMID.edge_index)
    assert model.training
    assert model.head.training
    for module in model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
    assert not conv._message_forward_hooks
    assert rec.attention.shape == (2, 3, 3, 16)


def test_half_precision_is_recorded_as_it_is_computed(tmp_path):
    model, video = make_classifier(), torch.rand(1, 2, 1, 16, 16)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16), record(model) as half:
        model(video)
    with torch.no_grad(), record(model) as full:
        model(video)
    assert half.message_norm.dtype == torch.bfloat16
    for name in ("attention", "message_norm", "states", "gates", "scores"):
        torch.testing.assert_close(getattr(half, name).float(), getattr(full, name), rtol=0.1, atol=0.05)
    half.to_html(tmp_path / "clip.html")


def test_hooks_go_even_where_the_model_fails():
    model = make_classifier()
    with pytest.raises(ValueError, match="floating point"), record(model):
        model(torch.zeros(1, 3, 1, 16, 16, dtype=torch.uint8))
    assert not model.graph.rstg.space._message_forward_hooks


@pytest.mark.parametrize("algorithm", [AttentionExplainer, lambda: GNNExplainer(epochs=2)])
def test_explainer_says_the_same_while_the_layer_is_recorded(algorithm):
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = RSTGConv(6, 3)

        def forward(self, x, edge_index):
            return self.conv(x, edge_index)

    class Recorded(RSTG):  # the explained layer is the graph's own
        def __init__(self, conv):
            super().__init__(3, 3, num_iterations=1, schedule="space_only")
            self.space = conv

    net = Net()
    x = torch.randn(5, 6)

    def explain():
        torch.manual_seed(0)
        config = {"mode": "multiclass_classification", "task_level": "node", "return_type": "raw"}
        explainer = Explainer(net, algorithm(), explanation_type="model", edge_mask_type="object", model_config=config)
        return explainer(x, PYRAMID.edge_index).edge_mask

    before = explain()
    with record(Recorded(net.conv)):
        inside = explain()
    torch.testing.assert_close(inside, before)
    assert inside.unique().numel() > 1


def test_record_of_a_block_and_of_data():
    block = RSTGBlock(6, 8, pyramid=(2, 1), update_per_scale=True)
    volume = torch.randn(1, 3, 6, 4, 4)
    with record(block) as rec:
        block(volume)
    assert rec.video is None
    assert rec.scores is None

    data = SpaceTimeGraph((2, 1))(Data(volume=volume[0], video=torch.rand(3, 1, 8, 8, requires_grad=True)))
    again = as_record(data, block)
    torch.testing.assert_close(again.states, rec.states)
    assert torch.equal(again.box, rec.box)
    assert torch.equal(again.video[0], data.video)
    assert not again.video.requires_grad
    assert block.training


def test_batch_of_several_clips_is_no_clip():
    clip = torch.rand(3, 1, 16, 16)
    data = SpaceTimeGraph((2, 1))(Data(volume=torch.rand(3, 6, 4, 4), video=clip))
    model, batch = make_classifier(), Batch.from_data_list([data, data])
    for draw in (draw_attention, draw_attribution, lambda batch, _: draw_pyramid(batch)):
        with pytest.raises(ValueError, match=r"the data of one clip, such as batch\[0\] \(got 2\)"):
            draw(batch, model)
    one = as_record(Batch.from_data_list([data]), model)
    assert torch.equal(one.states, as_record(data, model).states)


def test_record_keeps_the_frames_that_were_seen():
    model, clip = make_classifier(), torch.rand(1, 3, 1, 16, 16)
    seen = clip.clone()
    with record(model) as rec:
        model(clip)
    other = as_record(clip, model)
    clip.zero_()
    assert torch.equal(rec.video, seen)
    assert torch.equal(other.video, seen)


def test_a_backward_pass_that_runs_the_graph_again_leaves_the_record_as_it_is():
    block, video = RSTGBlock(4, 4, pyramid=(2, 1), num_iterations=1), torch.rand(1, 4, 3, 32, 32)
    options = {"inflation": "c2d", "depth": 18, "width": 2, "blocks": {"res3.0": block}}
    backbone = InflatedResNet(gradient_checkpointing=True, **options)
    model = VideoClassifier(backbone, PooledRSTGToVec(16, 4, pyramid=(2, 1)), ClassifierHead(4, 3)).train()
    model.graph = torch.nn.Sequential(torch.nn.AdaptiveAvgPool3d(1), torch.nn.Flatten(), torch.nn.LazyLinear(4))
    with record(model) as rec:
        out = model(video)
        states, frames = rec.states, rec.video
        out.sum().backward()
    assert rec.states is states
    assert rec.video is frames is not None


def test_compiled_model_that_has_run_before_is_recorded():
    model, clip = make_classifier(), torch.rand(1, 3, 1, 16, 16)
    with record(model) as expected:
        model(clip)
    compiled = torch.compile(model, backend="eager")
    compiled(clip)
    with record(compiled) as rec:
        compiled(clip)
    torch.testing.assert_close(rec.states, expected.states)


def test_record_of_a_clip_runs_it_in_evaluation_mode():
    model, clip = make_classifier(), torch.rand(3, 1, 16, 16)
    scores = as_record(clip, model.train()).scores
    assert model.training
    torch.testing.assert_close(scores[:, -1], model.eval()(clip[None]))
    torch.testing.assert_close(as_record(clip[None], model).scores, scores)


def test_record_of_a_clip_has_its_frames_whatever_the_model():
    video = torch.rand(2, 6, 3, 32, 32)
    block = RSTGBlock(4, 4, pyramid=(2, 1), num_iterations=1)
    network = InflatedResNet(inflation="c2d", depth=18, width=2, blocks={"res3.0": block})
    assert torch.equal(as_record(video, network).video, video[:, [0, 2, 4]])  # the stem pools pairs
    parts = torch.nn.Sequential(*make_classifier().children())
    assert torch.equal(as_record(video[0, :, :1], parts).video, video[:1, :, :1])
    flow = SmallCNN(2, (4, 6)), parts[1], parts[2]
    for two_channels in (torch.nn.Sequential(*flow), VideoClassifier(*flow)):
        assert as_record(video[:, :, :2], two_channels).video is None
        assert (draw_attribution(video[0, :, :2], two_channels).axes[0].images[0].get_array() == 1).all()


def test_parts_of_a_graph_may_run_beside_it_while_it_is_recorded():
    rstg, x = RSTG(4, 4).eval(), torch.randn(1, 3, 5, 4)
    with record(rstg) as rec:
        rstg(x, PYRAMID.edge_index)
        states = rec.states
        rstg.input_norm(x + 1)
        rstg.time(x + 1, None, None)
    torch.testing.assert_close(rec.states, states)
    with record(rstg) as rec:
        rstg.time(rstg.input_norm(x), None, None)
    with pytest.raises(AttributeError, match="No 'states' yet"):
        _ = rec.states


def test_errors():
    model = make_classifier()
    with pytest.raises(ValueError, match=r"an RSTG over clips \(got one over tracks, TrackRSTG: \['0'\]\)"):
        record(torch.nn.Sequential(TrackRSTG(RSTG(2, 2)))).__enter__()
    with record(model) as rec:
        for field in fields(Record):
            with pytest.raises(AttributeError, match=f"No '{field.name}' yet: a record is empty until its model has r"):
                getattr(rec, field.name)
        with pytest.raises(AttributeError, match="'Record' object has no attribute 'attentions'"):
            _ = rec.attentions
    with pytest.raises(ValueError, match=r"Expected 'model' to hold one RSTG \(got 0"), record(torch.nn.Linear(1, 1)):
        pass
    two = torch.nn.ModuleList([RSTG(2, 2), RSTG(2, 2)])
    with pytest.raises(ValueError, match=r"\(got 2: \['0', '1'\]\)"), record(two):
        pass
    with pytest.raises(ValueError, match=r"'class_names' to hold 3 names \(got 2\)"), record(model, ["a", "b"]):
        model(torch.rand(1, 2, 1, 16, 16))
    with record(model) as rec:
        model(torch.rand(1, 2, 1, 16, 16))
    with pytest.raises(ValueError, match="Expected 'model' to be None beside a record"):
        as_record(rec, model)
    with pytest.raises(ValueError, match=r"Expected 'model' to run the clip given as 'source' \(got None\)"):
        as_record(torch.rand(2, 1, 16, 16))
    with pytest.raises(ValueError, match=r"Expected 'source' to be a Record, a clip .* \(got \[16, 16\]\)"):
        as_record(torch.rand(16, 16), model)
