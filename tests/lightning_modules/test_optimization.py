import copy
from types import SimpleNamespace

import pytest
import torch
from pytorch_lightning.strategies import FSDPStrategy
from torch import nn

from lightning_modules.optimization import MuonAdamW, ScheduledModule

RATES = {"lr": 0.03, "weight_decay": 0.1}
BFLOAT16 = {"rtol": 0, "atol": 3e-3}  # torch iterates in it; a step moves a weight by about 6e-3 rms
needs_muon = pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch.optim.Muon came with torch 2.9")


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 9), nn.LayerNorm(9), nn.Linear(9, 4), nn.Linear(4, 1))


def train(network, *optimizers, seed=1, steps=5):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        network.zero_grad()
        network(torch.randn(8, 6, generator=generator)).square().mean().backward()
        for optimizer in optimizers:
            optimizer.step()


@needs_muon
def test_matrices_and_the_rest_move_as_with_the_optimisers_of_torch(network):
    expected = copy.deepcopy(network)
    matrices = [expected[0].weight, expected[2].weight]  # the last has one row alone
    others = [expected[0].bias, *expected[1].parameters(), expected[2].bias, *expected[3].parameters()]
    optimizers = [
        MuonAdamW(network.parameters(), momentum=0.9, **RATES),
        torch.optim.Muon(matrices, momentum=0.9, adjust_lr_fn="match_rms_adamw", **RATES),
        torch.optim.AdamW(others, **RATES),
    ]
    for _ in range(3):
        for ours, theirs in zip(network.parameters(), expected.parameters(), strict=True):
            ours.grad = theirs.grad = torch.randn_like(ours)
        for optimizer in optimizers:
            optimizer.step()
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(parameter, expected.get_parameter(name), **BFLOAT16, msg=name)


@needs_muon
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("shape", [(8, 3, 3, 3), (16, 1, 3, 3)])
def test_kernels_of_a_convolution_move_as_a_matrix_of_a_row_for_each_output_channel(shape, memory_format):
    torch.manual_seed(0)
    kernels = nn.Parameter(torch.randn(shape).to(memory_format=memory_format))
    matrix = nn.Parameter(kernels.detach().flatten(start_dim=1).clone())
    optimizers = [MuonAdamW([kernels], **RATES), torch.optim.Muon([matrix], adjust_lr_fn="match_rms_adamw", **RATES)]
    for _ in range(3):
        kernels.grad = torch.randn(shape).to(memory_format=memory_format)
        matrix.grad = kernels.grad.flatten(start_dim=1)
        for optimizer in optimizers:
            optimizer.step()
    torch.testing.assert_close(kernels.flatten(start_dim=1), matrix, **BFLOAT16)


def test_a_weight_moves_by_the_orthogonal_matrix_nearest_to_its_gradient():
    torch.manual_seed(0)
    weight = nn.Parameter(torch.zeros(4, 9))
    left, _, right = torch.linalg.svd(torch.randn(4, 9), full_matrices=False)
    weight.grad = left @ torch.tensor([1.0, 2.0, 3.0, 4.0]).diag() @ right
    MuonAdamW([weight], lr=1.0).step()
    # Were the iteration exact, the singular values would be 1, times 0.2 √9.
    singular = left.T @ weight.detach() @ right.T / -0.6
    assert (singular - singular.diagonal().diag()).abs().max() < 0.02
    assert singular.diagonal().min() > 0.6
    assert singular.diagonal().max() < 1.3


def test_goes_on_from_its_state(network):
    optimizer = MuonAdamW(network.parameters(), momentum=0.5, **RATES)
    train(network, optimizer)
    resumed = copy.deepcopy(network)
    state = copy.deepcopy(optimizer.state_dict())
    train(network, optimizer, seed=2)
    again = MuonAdamW(resumed.parameters(), lr=9.0)
    again.load_state_dict(state)
    train(resumed, again, seed=2)
    for name, parameter in network.named_parameters():
        assert torch.equal(parameter, resumed.get_parameter(name)), name


def test_leaves_what_has_no_gradient(network):
    optimizer = MuonAdamW(network.parameters(), **RATES)
    before = copy.deepcopy(network.state_dict())
    network[2](torch.randn(8, 9)).mean().backward()
    optimizer.step()
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"2.weight", "2.bias"}


def test_maximises_what_a_descent_on_the_negative_minimises(network):
    descending = copy.deepcopy(network)
    optimizers = [
        MuonAdamW([{"params": network.parameters(), "maximize": True}], **RATES),
        MuonAdamW(descending.parameters(), **RATES),
    ]
    for _ in range(3):
        for up, down in zip(network.parameters(), descending.parameters(), strict=True):
            up.grad = torch.randn_like(up)
            down.grad = -up.grad
        for optimizer in optimizers:
            optimizer.step()
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(parameter, descending.get_parameter(name), msg=name)


def test_flat_parameters_of_fsdp_are_refused():
    class Module(ScheduledModule):
        scheduler = None

        def __init__(self, optimizer):
            super().__init__()
            self.optimizer = optimizer
            self.layer = nn.Linear(2, 3)

    for kind in (MuonAdamW, torch.optim.AdamW):
        module = Module(kind)
        assert isinstance(module.configure_optimizers()["optimizer"], kind)
        module._trainer = SimpleNamespace(strategy=FSDPStrategy())
        if kind is MuonAdamW:
            with pytest.raises(ValueError, match=r"Expected another 'optimizer' under FSDP, .* \(got MuonAdamW\)"):
                module.configure_optimizers()
        else:
            assert isinstance(module.configure_optimizers()["optimizer"], kind)


def test_closure(network):
    optimizer = MuonAdamW(network.parameters(), **RATES)
    assert optimizer.step(lambda: network(torch.ones(1, 6)).sum().backward() or 4.0) == 4.0
    assert optimizer.state[network[0].weight]["momentum_buffer"].abs().sum() > 0


def test_complex_matrices_move_as_with_adamw():
    torch.manual_seed(0)
    ours = nn.Parameter(torch.randn(3, 4, dtype=torch.complex64))
    expected = nn.Parameter(ours.detach().clone())
    ours.grad = expected.grad = torch.randn(3, 4, dtype=torch.complex64)
    MuonAdamW([ours], **RATES).step()
    torch.optim.AdamW([expected], **RATES).step()
    assert torch.equal(ours, expected)


def test_groups_have_rates_of_their_own(network):
    optimizer = MuonAdamW([{"params": network[0].parameters(), "lr": 0.0, "momentum": 0.5}], lr=1.0)
    optimizer.add_param_group({"params": network[2].parameters()})
    before = copy.deepcopy(network.state_dict())
    train(network, optimizer, steps=1)
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"2.weight", "2.bias"}
    assert [group["momentum"] for group in optimizer.param_groups] == [0.5, 0.95]


def test_errors(network):
    with pytest.raises(ValueError, match="Expected 'momentum' to be in \\[0, 1\\) \\(got 1\\)"):
        MuonAdamW(network.parameters(), momentum=1)
    with pytest.raises(ValueError, match="empty parameter list"):
        MuonAdamW([])
    with pytest.raises(ValueError, match="to be that of a MuonAdamW \\(got groups without 'momentum'\\)"):
        MuonAdamW(network.parameters()).load_state_dict(torch.optim.AdamW(network.parameters()).state_dict())
    embedding = nn.Embedding(5, 3, sparse=True)
    embedding(torch.tensor([1])).sum().backward()
    with pytest.raises(ValueError, match="gradient of a weight to be dense \\(got a sparse one of \\[5, 3\\]\\)"):
        MuonAdamW(embedding.parameters()).step()
