from itertools import pairwise

import pytest
import torch
from safetensors.torch import load_file, save_file

from benchmarks.memory import live_tensor_bytes
from rstg_pyg import VideoClassifier, stream
from rstg_pyg.models import ClassifierHead, GlobalAveragePool, MeanPoolLSTM, SmallCNN, SmallI3D
from rstg_pyg.nn import RSTGToVec


class AroundDifference(torch.nn.Module):
    """A frame, and how much the one after it differs from the one before."""

    def forward(self, video):
        return video + video.roll(-1, dims=1) - video.roll(1, dims=1)


class Dilated(torch.nn.Module):
    """A frame, and those two before and two after it."""

    def forward(self, video):
        before, after = torch.zeros_like(video), torch.zeros_like(video)
        before[:, 2:], after[:, :-2] = video[:, :-2], video[:, 2:]
        return video + before + after


class Placed(torch.nn.Module):
    """A frame, and its place in the clip."""

    def forward(self, video):
        return video + torch.arange(video.size(1)).view(-1, 1, 1, 1)


def test_scores_after_every_frame_are_those_of_the_clip_that_ends_there(model, video):
    scores = list(stream(model, video))
    assert len(scores) == 7
    for t, score in enumerate(scores):
        torch.testing.assert_close(score, model(video[None, : t + 1])[0])
        assert not score.requires_grad
    assert all(not torch.allclose(before, after) for before, after in pairwise(scores))


def test_every_device(make_classifier, schedule, video, device):
    model, video = make_classifier(schedule, "mean").to(device), video.to(device)
    for t, (score, _) in enumerate(stream(model, video, return_latency=True)):
        assert score.device.type == device.type
        torch.testing.assert_close(score, model(video[None, : t + 1])[0])


@pytest.mark.parametrize("rnn", ["gru", "rnn"])
def test_other_cells_and_options(make_classifier, video, rnn):
    model = make_classifier(rnn=rnn, update_per_scale=True, residual=True, norm="batch", input_norm="batch")
    for norm in (module for module in model.modules() if isinstance(module, torch.nn.BatchNorm1d)):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
    for t, score in enumerate(stream(model, video)):
        torch.testing.assert_close(score, model(video[None, : t + 1])[0])


def test_step_takes_gradients_through_time(model, video):
    state = None
    for frame in video[:3]:
        scores, state = model.step(frame[None], state)
    scores.square().sum().backward()
    streamed = [parameter.grad for parameter in model.parameters()]
    model.zero_grad()
    model(video[None, :3]).square().sum().backward()
    for got, expected in zip(streamed, (parameter.grad for parameter in model.parameters()), strict=True):
        torch.testing.assert_close(got, expected)


def test_saved_in_the_middle_and_gone_on_with(model, video, tmp_path):
    whole = list(stream(model, video))
    state = None
    for frame in video[:4]:
        _, state = model.step(frame[None], state)

    torch.save(state, tmp_path / "state.pt")
    loaded = torch.load(tmp_path / "state.pt", weights_only=True)
    for score, later in zip(stream(model, video[4:], loaded), whole[4:], strict=True):
        torch.testing.assert_close(score, later)
    if state:  # space_only with the last frame's read-out has nothing to remember
        save_file({str(i): tensor.contiguous() for i, tensor in enumerate(state)}, tmp_path / "state.safetensors")
        tensors = load_file(tmp_path / "state.safetensors")
        loaded = tuple(tensors[str(i)] for i in range(len(tensors)))
    for score, later in zip(stream(model, video[4:], loaded), whole[4:], strict=True):
        torch.testing.assert_close(score, later)


def test_zeros_for_a_state_begin_anew(model, video):
    _, state = model.step(video[:1])
    zeros = tuple(torch.zeros_like(tensor) for tensor in state)
    for score, alone in zip(stream(model, video[1:], zeros), stream(model, video[1:]), strict=True):
        torch.testing.assert_close(score, alone)


def test_memory_does_not_grow_with_the_stream(make_classifier, schedule):
    num_frames = 60  # bytes are compared exactly: a single tensor kept a frame shows
    model = make_classifier(schedule, "mean").float()
    held = []
    for number, _ in enumerate(stream(model, (torch.rand(1, 8, 8) for _ in range(num_frames)))):
        if number in (10, num_frames - 1):
            held.append(live_tensor_bytes(torch.device("cpu")))
    assert held[0] == held[1]


def test_a_running_mean_keeps_its_precision(make_classifier):
    model = make_classifier("space_only", "mean").float()
    frame = torch.rand(1, 1, 8, 8)
    _, (mean, _) = model.step(frame)
    late = (mean, torch.full((1,), 2**40))  # a sum of that many would not feel one more, nor its count in float32
    scores, (after, count) = model.step(frame, late)
    torch.testing.assert_close(after, mean)
    torch.testing.assert_close(scores, model(frame[None]))
    assert count.item() == 2**40 + 1


def test_frames_are_taken_one_by_one_and_timed(make_classifier, video):
    taken = []
    frames = (taken.append(t) or frame for t, frame in enumerate(video))
    pairs = stream(make_classifier(), frames, return_latency=True)
    for t, ((scores, latency), alone) in enumerate(zip(pairs, stream(make_classifier(), video), strict=True)):
        assert taken == list(range(t + 1))
        assert scores.shape == alone.shape == (3,)
        assert 0 < latency < 10


def test_gradients_are_on_between_frames(make_classifier, video):
    for _ in stream(make_classifier(), video):
        assert torch.is_grad_enabled()


def test_models_that_would_not_give_the_clips_scores(make_classifier, video):
    with pytest.raises(ValueError, match=r"Expected 'model' to be in eval mode, .* \(got one in training mode\)"):
        next(stream(make_classifier().train(), video))
    graph = RSTGToVec(channels=4, node_channels=4)
    i3d = VideoClassifier(SmallI3D(1, widths=(4, 4), blocks=(1, 1)), graph, ClassifierHead(4, 3)).eval()
    random_state = torch.get_rng_state()
    for frame in (torch.linspace(0, 1, 32).expand(1, 32, 32), torch.full((1, 32, 32), 0.5), torch.zeros(1, 32, 32)):
        with pytest.raises(ValueError, match=r"reads every frame by itself \(got a SmallI3D, whose features"):
            next(stream(i3d, [frame]))
    for backbone in (AroundDifference(), Dilated(), Placed()):
        i3d.backbone = backbone
        with pytest.raises(ValueError, match=rf"reads every frame by itself \(got a {type(backbone).__name__}, whose"):
            next(stream(i3d, [frame]))
    assert torch.equal(torch.get_rng_state(), random_state)
    pooled = VideoClassifier(SmallCNN(1, widths=(2, 4)), GlobalAveragePool(), ClassifierHead(4, 3)).eval()
    with pytest.raises(ValueError, match=r"Expected 'graph' to have a method 'step'.*\(got GlobalAveragePool\)"):
        next(stream(pooled, torch.rand(2, 1, 8, 8)))
    assert not hasattr(MeanPoolLSTM, "step")


def test_model_goes_back_to_training_between_frames(make_classifier, video):
    model = make_classifier()
    scores = stream(model, video)
    next(scores)
    model.train()
    with pytest.raises(ValueError, match="Expected 'model' to be in eval mode"):
        next(scores)


def test_frames_and_states_that_do_not_fit(make_classifier, video):
    model = make_classifier(readout="mean")
    with pytest.raises(ValueError, match=r"'frames' to be of shape \[channels, H, W\] each \(got \[7, 1, 8, 8\]\)"):
        next(stream(model, [video]))
    with pytest.raises(ValueError, match=r"'frames' to be of floating point type, in \[0, 1\] \(got torch.uint8\)"):
        next(stream(model, video.byte()))
    with pytest.raises(ValueError, match=r"'frame' to be of shape \[B, channels, H, W\] \(got \[1, 8, 8\]\)"):
        model.step(video[0])
    with pytest.raises(ValueError, match=r"floating point type, in \[0, 1\] \(got torch.uint8\)"):
        model.step(torch.zeros(1, 1, 8, 8, dtype=torch.uint8))
    _, state = model.step(video[:2])
    with pytest.raises(ValueError, match=r"Expected 'state' to be a tuple of tensors of shapes \[\[1, 3, 5, 4\]"):
        model.step(video[:1], state)
    with pytest.raises(ValueError, match=r"Expected 'state' .* \[\[2, 4\], \[2\]\] \(got \[\[2, 4\], \[1\]\]\)"):
        model.step(video[:2], (*state[:-1], state[-1][:1]))
    with pytest.raises(ValueError, match="Expected 'state'"):
        model.step(video[:2], ())
