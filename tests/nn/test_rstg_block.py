import pytest
import torch
import torchvision

from rstg_pyg import GridPyramid, RSTGBlock
from rstg_pyg.nn import RSTGToVec

SCHEDULES = ["all_temp", "one_temp", "space_only", "time_only", "homogeneous"]


def awake(block):
    """The block after training has moved its last norm from zero."""
    torch.nn.init.normal_(block.norm.weight)
    torch.nn.init.normal_(block.norm.bias)
    return block


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_identity_at_the_start_with_gradients(schedule, training, device):
    block = RSTGBlock(5, 8, schedule=schedule, num_iterations=2, norm="batch").to(device).train(training)
    volume = torch.randn(2, 3, 5, 7, 6, device=device, requires_grad=True)
    out = block(volume)
    assert torch.equal(out, volume)
    out.square().sum().backward()
    torch.testing.assert_close(volume.grad, 2 * volume.detach())
    assert block.norm.weight.grad.any()  # so that the block leaves the identity with the first step
    awake(block)(volume).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in block.rstg.parameters())


@pytest.mark.parametrize("update_per_scale", [False, True])
def test_is_its_parts(update_per_scale):
    block = awake(RSTGBlock(5, 8, ((2, 3), 1), update_per_scale=update_per_scale, num_iterations=2)).double()
    pyramid = GridPyramid(((2, 3), 1))
    volume = torch.randn(2, 3, 5, 4, 7, dtype=torch.float64)
    group = torch.tensor([0] * 6 + [1]) if update_per_scale else None
    nodes, _ = block.rstg(pyramid.pool(volume), pyramid.edge_index, pyramid.pos_map().double(), group=group)
    nodes = block.norm(block.lin_out(nodes))
    torch.testing.assert_close(block(volume), volume + pyramid.unpool(nodes, (4, 7)))


def test_streams(device):
    block = awake(RSTGBlock(5, 8)).double().to(device)
    volume = torch.randn(2, 4, 5, 6, 6, dtype=torch.float64, device=device)
    state, frames = None, []
    for frame in volume.unbind(dim=1):
        out, state = block.step(frame, state)
        frames.append(out)
    torch.testing.assert_close(torch.stack(frames, dim=1), block(volume))


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_padding_passes_through_and_changes_nothing(schedule):
    block = awake(RSTGBlock(5, 8, schedule=schedule)).double()
    volume = torch.randn(2, 4, 5, 6, 6, dtype=torch.float64)
    out = block(volume, lengths=torch.tensor([4, 2]))
    torch.testing.assert_close(out[0], block(volume)[0])
    torch.testing.assert_close(out[1, :2], block(volume[1:, :2])[0])
    assert torch.equal(out[1, 2:], volume[1, 2:])


def test_attention_can_be_got_at():
    block = awake(RSTGBlock(5, 8)).double()
    volume = torch.randn(2, 4, 5, 6, 6, dtype=torch.float64)
    out, alpha = block(volume, return_attention_weights=True)
    torch.testing.assert_close(out, block(volume))
    torch.testing.assert_close(alpha, block.run(volume)[2])


def test_inside_a_torchvision_backbone():
    resnet = torchvision.models.resnet18(weights=None).eval()
    clip = torch.randn(2, 3, 3, 64, 64)
    frames = clip.flatten(end_dim=1)
    expected = resnet(frames)
    block = RSTGBlock(128, 16, ((4, 4), 2, 1))
    resnet.layer2.register_forward_hook(lambda _, __, out: block(out.unflatten(0, (2, 3))).flatten(end_dim=1))
    assert torch.equal(resnet(frames), expected)
    awake(block)
    changed = resnet(frames)
    assert not torch.allclose(changed, expected)
    changed.square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in block.parameters())


def test_state_dict_round_trip_and_no_graph_in_it():
    block, other = awake(RSTGBlock(5, 8)), RSTGBlock(5, 8)
    other.load_state_dict(block.state_dict())
    volume = torch.randn(1, 2, 5, 6, 6)
    torch.testing.assert_close(other(volume), block(volume))
    assert not [name for name in block.state_dict() if "pyramid" in name or "pos_map" in name]


def test_bad_volumes():
    block = RSTGBlock(5, 8)
    with pytest.raises(ValueError, match=r"Expected 'volume' to be of shape \[B, T, C, H, W\] \(got \[2, 5, 6, 6\]\)"):
        block(torch.rand(2, 5, 6, 6))
    with pytest.raises(ValueError, match=r"Expected 'volume' to have 5 channels \(got 4\)"):
        block(torch.rand(1, 2, 4, 6, 6))
    with pytest.raises(ValueError, match="Expected 'volume' to be of floating point type"):
        block(torch.zeros(1, 2, 5, 6, 6, dtype=torch.uint8))
    with pytest.raises(ValueError, match="at least 3 rows and 3 columns"):
        block(torch.rand(1, 2, 5, 2, 6))
    with pytest.raises(ValueError, match="Expected 'frame' to be of shape"):
        block.step(torch.rand(1, 2, 5, 6, 6))
    with pytest.raises(ValueError, match="Expected 'schedule' to be one of"):
        RSTGBlock(5, 8, schedule="other")
    with pytest.raises(ValueError, match=r"Expected 'channels' to be positive.*\(got -1\)"):
        RSTGBlock(-1, 8)


def test_to_vec_is_the_sum_over_nodes():
    to_vec = RSTGToVec(channels=5, node_channels=8).double()
    pyramid = GridPyramid()
    volume = torch.randn(2, 3, 5, 7, 6, dtype=torch.float64)
    out, alpha = to_vec(volume, return_attention_weights=True)
    nodes, _, expected_alpha = to_vec.rstg(
        pyramid.pool(volume), pyramid.edge_index, pyramid.pos_map().double(), return_attention_weights=True
    )
    torch.testing.assert_close(out, nodes[:, -1].sum(dim=1))
    torch.testing.assert_close(alpha, expected_alpha)
    assert alpha.shape == (2, 3, 3, 90)
    torch.testing.assert_close(to_vec(volume, torch.tensor([3, 2]))[1:], to_vec(volume[1:, :2]))


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_to_vec_reads_out_as_the_paper_does_unless_told(schedule):
    torch.manual_seed(1)
    default = RSTGToVec(channels=5, node_channels=8, schedule=schedule)
    readout = "mean" if schedule == "space_only" else "last"
    explicit = RSTGToVec(5, 8, readout=readout, schedule=schedule)
    explicit.load_state_dict(default.state_dict())
    volume = torch.randn(2, 3, 5, 6, 6)
    torch.testing.assert_close(default(volume), explicit(volume))
