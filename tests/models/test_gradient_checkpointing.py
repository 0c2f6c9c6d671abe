import pytest
import torch
from torch import nn

from rstg_pyg import RSTGBlock
from rstg_pyg.models import InflatedResNet, TorchvisionBackbone
from rstg_pyg.models.gradient_checkpointing import CheckpointedSequential

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def block_for(channels):
    """A block with dropout and a batch norm of its own, which is no longer the identity."""
    block = RSTGBlock(channels, 8, num_iterations=1, input_norm="batch")
    nn.init.ones_(block.norm.weight)
    return block


def inflated(gradient_checkpointing):
    blocks = {"res3.2": block_for(32), "res4.4": block_for(64)}
    return InflatedResNet(
        width=4, res5_stride=1, non_local=True, gradient_checkpointing=gradient_checkpointing, blocks=blocks
    )


def torchvisions(gradient_checkpointing):
    blocks = {"layer2.0": block_for(128)}
    return TorchvisionBackbone("resnet18", gradient_checkpointing=gradient_checkpointing, blocks=blocks)


def run_saving(model, video):
    """What a model gives, and the bytes of all that it keeps for the backward pass, its parameters left out."""
    parameters = {parameter.data_ptr() for parameter in model.parameters()}
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        out = model(video)
    return out, sum(kept.values())


@pytest.mark.parametrize(("make", "share"), [(inflated, 0.5), (torchvisions, 0.6)])
def test_gradients_and_statistics_are_those_without_and_memory_is_less(make, share):
    video = torch.rand(2, 4, 3, 48, 48)
    models = [make(True), make(False)]
    models[1].load_state_dict(models[0].state_dict())
    results = []
    for model in models:
        out, kept = run_saving(model.train(), video)
        out.square().mean().backward()
        gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
        state = {name: value for name, value in model.state_dict().items() if name.endswith(STATISTICS)}
        assert {int(value) for name, value in state.items() if name.endswith(STATISTICS[2])} == {1}
        results.append((out, gradients, state, kept))
    torch.testing.assert_close(results[0][:3], results[1][:3], rtol=1e-6, atol=1e-6)
    assert results[0][3] < share * results[1][3]


def test_runs_once_without_gradients_and_twice_with_them():
    calls = []
    layer = nn.Linear(3, 3)
    layer.register_forward_pre_hook(lambda *_: calls.append("called"))
    sequence = CheckpointedSequential(layer)
    with torch.no_grad():
        sequence(torch.rand(2, 3))
    assert len(calls) == 1
    sequence(torch.rand(2, 3)).sum().backward()
    assert len(calls) == 3


def test_under_autocast_the_second_run_computes_as_the_first():
    video = torch.rand(2, 2, 3, 32, 32)
    models = [InflatedResNet(3, "c2d", 18, 4, gradient_checkpointing=checkpointing) for checkpointing in (True, False)]
    models[1].load_state_dict(models[0].state_dict())
    for model in models:
        with torch.autocast("cpu", torch.bfloat16):
            out = model(video)
        out.float().sum().backward()
    for one, other in zip(*(model.parameters() for model in models), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=0, atol=0)
