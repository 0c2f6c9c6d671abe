import pytest
import torch

from rstg_pyg.nn import TimeStage


@pytest.mark.parametrize("rnn", ["lstm", "gru", "rnn"])
def test_nodes_are_independent_sequences_with_common_weights(rnn, device):
    stage = TimeStage(4, rnn).double().to(device)
    cell = {"lstm": torch.nn.LSTMCell, "gru": torch.nn.GRUCell, "rnn": torch.nn.RNNCell}[rnn](4, 4).double().to(device)
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in stage.rnn.state_dict().items()})
    x = torch.randn(2, 5, 3, 4, dtype=torch.float64, device=device)
    out, state = stage(x)
    for b in range(2):
        for n in range(3):
            memory = None
            for t in range(5):
                memory = cell(x[b, t, n], memory)
                hidden = memory[0] if rnn == "lstm" else memory
                torch.testing.assert_close(out[b, t, n], hidden)
            expected = memory if rnn == "lstm" else (memory,)
            torch.testing.assert_close(tuple(s[b, n] for s in state), expected)


def test_a_state_continues_the_clip():
    stage = TimeStage(4).double()
    x = torch.randn(2, 5, 3, 4, dtype=torch.float64)
    whole, last = stage(x)
    first, state = stage(x[:, :2])
    second, state = stage(x[:, 2:], state)
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole)
    torch.testing.assert_close(state, last)


@pytest.mark.parametrize("rnn", ["lstm", "gru", "rnn"])
def test_bfloat16_autocast_runs_on_any_processor_and_is_near_float32(rnn, device):
    stage = TimeStage(16, rnn).to(device)
    x = torch.randn(2, 5, 3, 16, device=device, requires_grad=True)
    expected, _ = stage(x)
    with torch.autocast(device.type, torch.bfloat16):
        out, _ = stage(x)
        first, state = stage(x[:, :4])
        last, _ = stage(x[:, 4:], state)
    torch.testing.assert_close(out.float(), expected, rtol=0.02, atol=0.02)
    torch.testing.assert_close(torch.cat([first, last], dim=1).float(), expected, rtol=0.02, atol=0.02)
    (gradient,) = torch.autograd.grad(expected.square().sum(), x)
    (half_gradient,) = torch.autograd.grad(out.float().square().sum(), x)
    torch.testing.assert_close(half_gradient, gradient, rtol=0.1, atol=0.02)


def test_residual_adds_the_input_to_the_output_alone():
    plain, residual = TimeStage(4).double(), TimeStage(4, residual=True).double()
    residual.load_state_dict(plain.state_dict())
    x = torch.randn(2, 5, 3, 4, dtype=torch.float64)
    (out, state), (residual_out, residual_state) = plain(x), residual(x)
    torch.testing.assert_close(residual_out, out + x)
    torch.testing.assert_close(residual_state, state)


def test_bad_rnn():
    with pytest.raises(ValueError, match=r"Expected 'rnn' to be one of \['lstm', 'gru', 'rnn'\] \(got 'mamba'\)"):
        TimeStage(4, "mamba")


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"x": torch.rand(5, 3, 4)}, r"Expected 'x' to be of shape \[B, T, N, 4\] \(got \[5, 3, 4\]\)"),
        ({"x": torch.rand(2, 5, 3, 6)}, r"Expected 'x' to be of shape \[B, T, N, 4\] \(got \[2, 5, 3, 6\]\)"),
        ({"state": (torch.rand(3, 2, 4),)}, r"of shapes \[\[2, 3, 4\]\] \(got \[\[3, 2, 4\]\]\)"),
        ({"state": (torch.rand(2, 3, 4),) * 2}, r"Expected 'state' .* \(got \[\[2, 3, 4\], \[2, 3, 4\]\]\)"),
        ({"lengths": torch.ones(1, dtype=torch.long)}, r"Expected 'lengths' to be int64 of shape \[2\]"),
        ({"lengths": torch.ones(2)}, r"Expected 'lengths' to be int64 of shape \[2\] \(got torch.float32 \[2\]\)"),
    ],
)
def test_bad_inputs(inputs, message):
    stage, good = TimeStage(4, "gru"), {"x": torch.rand(2, 5, 3, 4), "state": (torch.rand(2, 3, 4),)}
    stage(**good)
    with pytest.raises(ValueError, match=message):
        stage(**(good | inputs))
