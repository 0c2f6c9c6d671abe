"""The Triton kernels do what the PyTorch operations do.

With CUDA they run compiled. Without, they run in Triton's interpreter, which must be chosen before Triton is imported:
in a process of its own, which runs this very file. There bfloat16 is cut off, not rounded, when it is stored.
"""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from rstg_pyg import GridPyramid
from rstg_pyg.nn import edge_ops, fused_gather
from rstg_pyg.nn.fused_gather import gather_messages

triton = pytest.importorskip("triton")

from rstg_pyg.nn import triton_edge_ops  # noqa: E402 -- needs Triton

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
SIZES = [  # graphs, sources, destinations, edges, channels
    (1, 1, 1, 1, 1),
    (2, 3, 4, 19, 5),
    (1, 5, 1, 17, 1),
    (1, 2, 7, 16, 64),
    (1, 4, 3, 5, 300),
    (2, 3, 4, 0, 6),
    (0, 3, 4, 5, 6),
]


@pytest.fixture
def device():
    """Where this process runs kernels."""
    if not INTERPRETED and not torch.cuda.is_available():
        pytest.skip("runs in the interpreter's process")
    return torch.device("cpu" if INTERPRETED else "cuda")


@pytest.mark.slow
@pytest.mark.skipif(INTERPRETED or torch.cuda.is_available(), reason="the kernels run in this process")
def test_kernels_in_the_interpreter():
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    checkout = Path(__file__).parents[2]
    ran = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def make_inputs(sizes, dtype, device):
    num_graphs, num_sources, num_nodes, num_edges, channels = sizes
    edge_index = torch.stack(
        [torch.randint(num_sources, (num_edges,)), torch.randint(min(1, num_nodes - 1), num_nodes, (num_edges,))]
    )
    shapes = {
        "send": (num_graphs, num_sources, channels),
        "receive": (num_graphs, num_nodes, channels),
        "message": (num_graphs, num_edges, channels),
        "alpha": (num_graphs, num_edges),
        "grad": (num_graphs, num_nodes, channels),
        "grad_hidden": (num_graphs, num_edges, channels),
    }
    inputs = {name: torch.randn(shape).to(device, dtype) for name, shape in shapes.items()}
    return inputs | {"edge_index": edge_index.to(device)}


def along_edges(ops, send, receive, message, alpha, grad, grad_hidden, edge_index):
    """What the four operations give."""
    source, destination = edge_index
    sum_dtype = torch.promote_types(send.dtype, torch.float32)
    out, grad_send, grad_receive = (x.new_ones(x.shape, dtype=sum_dtype) for x in (receive, send, receive))
    hidden = ops.lift(send, receive, source, destination)
    ops.gather(message.clone(), alpha, destination, out)
    grad_message, grad_alpha = ops.gather_backward(grad, message.clone(), alpha, destination)
    ops.lift_backward(grad_hidden.clone(), hidden, source, destination, grad_send, grad_receive)
    return {
        "hidden": hidden,
        "out": out,
        "grad_message": grad_message,
        "grad_alpha": grad_alpha,
        "grad_send": grad_send,
        "grad_receive": grad_receive,
    }


def assert_same(inputs):
    """The kernels' results are those of PyTorch in float64, rounded once."""
    actual = along_edges(triton_edge_ops, **inputs)
    wide = {name: x.double() if x.is_floating_point() else x for name, x in inputs.items()}
    for name, expected in along_edges(edge_ops, **wide).items():
        torch.testing.assert_close(
            actual[name], expected.to(actual[name].dtype), equal_nan=True, msg=lambda m, name=name: f"{name}: {m}"
        )


@pytest.mark.parametrize("sizes", SIZES)
def test_edges_in_any_order(sizes, device):
    assert_same(make_inputs(sizes, torch.float32, device))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_types(dtype, device):
    assert_same(make_inputs((2, 3, 4, 19, 5), dtype, device))


@pytest.mark.parametrize("end", [0, 1])
@pytest.mark.parametrize("deterministic", [False, True])
def test_edges_sorted_by_one_end(end, deterministic, device, monkeypatch):
    inputs = make_inputs((1, 4, 3, 35, 20), torch.float32, device)
    inputs["edge_index"] = inputs["edge_index"][:, inputs["edge_index"][end].argsort()]
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: deterministic)
    assert_same(inputs)


def test_inputs_that_are_not_contiguous(device):
    inputs = make_inputs((3, 4, 5, 12, 6), torch.float32, device)
    inputs["edge_index"] = inputs["edge_index"].t().contiguous().t()[:, 3:8]
    for name in ("message", "alpha", "grad_hidden"):
        inputs[name] = inputs[name][:, 3:8]
    inputs["send"] = inputs["send"][:1].expand(3, -1, -1)
    inputs["receive"] = inputs["receive"].transpose(0, 1).contiguous().transpose(0, 1)
    inputs["grad"] = inputs["grad"][:1, :1, :1].expand(3, 5, 6)
    assert not any(tensor.is_contiguous() for tensor in inputs.values())
    assert_same(inputs)


def test_not_a_number_stays_one(device):
    inputs = make_inputs((2, 3, 4, 7, 6), torch.float32, device)
    for name in ("send", "message", "grad_hidden"):
        inputs[name][0] = torch.nan
    assert_same(inputs)


@pytest.mark.parametrize(("rows", "dtype"), [(3, torch.float64), (7, torch.bfloat16), (1000, torch.float64)])
def test_messages_gathered_in_tiles(rows, dtype, device, monkeypatch):
    """Tiles of some edges of a graph, of one graph and of all graphs."""
    channels = 5
    for name in ("CPU_TILE", "CUDA_TILE"):
        monkeypatch.setattr(fused_gather, name, rows * channels * dtype.itemsize)
    inputs = make_inputs((2, 4, 3, 7, channels), dtype, device)
    weight, bias = (torch.randn(shape).to(device, dtype) for shape in ((channels, channels), (channels,)))
    leaves = [inputs["send"], inputs["receive"], inputs["alpha"], weight, bias]

    def run(ops, dtype):
        monkeypatch.setattr(fused_gather, "_edge_ops", lambda *_: ops)
        tensors = [leaf.to(dtype).requires_grad_() for leaf in leaves]
        out = gather_messages(*tensors, inputs["edge_index"])
        return out, *torch.autograd.grad(out, tensors, inputs["grad"].to(dtype))

    expected, actual = run(edge_ops, torch.float64), run(triton_edge_ops, dtype)
    for x, y in zip(actual, expected, strict=True):
        assert x.dtype == dtype
        error = torch.linalg.vector_norm(x.double() - y) / torch.linalg.vector_norm(y)
        assert error < 4 * torch.finfo(dtype).eps


def test_cuda_takes_the_kernels(device):
    if device.type != "cuda":
        pytest.skip("no CUDA")
    nodes = torch.zeros(1, 14, 1, device=device)
    assert fused_gather._edge_ops(nodes, nodes) is triton_edge_ops


def test_deterministic_sums_follow_the_order_of_the_edges(device, monkeypatch):
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: True)
    inputs = make_inputs((1, 1, 1, 40, 3), torch.float32, device)
    inputs["alpha"].fill_(1)
    inputs["send"].add_(10)
    results = along_edges(triton_edge_ops, **inputs)
    for terms, names in ((inputs["message"].relu(), ["out"]), (inputs["grad_hidden"], ["grad_send", "grad_receive"])):
        in_order = sum(terms[0], torch.zeros(3, device=device))
        for name in names:
            torch.testing.assert_close(results[name][0, 0], 1 + in_order, rtol=0, atol=0)


@pytest.mark.skipif(INTERPRETED, reason="the interpreter has no chance in it")
def test_deterministic_sums_are_the_same_every_time(device, monkeypatch):
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: True)
    inputs = make_inputs((2, 3, 3, 20_000, 8), torch.float32, device)
    first, second = (along_edges(triton_edge_ops, **inputs) for _ in range(2))
    for name, expected in first.items():
        torch.testing.assert_close(second[name], expected, rtol=0, atol=0)


@pytest.mark.skipif(INTERPRETED or torch.cuda.is_available(), reason="Triton runs in this process")
def test_pytorch_operations_where_triton_cannot_run():
    with pytest.warns(UserWarning, match="Triton cannot run here"):
        assert fused_gather._cuda_edge_ops.__wrapped__() is edge_ops


@pytest.mark.skipif(INTERPRETED or torch.cuda.is_available(), reason="the kernels run in this process")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_kernels_compile_without_a_gpu(dtype, monkeypatch):
    """What the interpreter takes, the compiler may refuse."""
    hopper = SimpleNamespace(
        get_current_device=lambda: 0,
        get_current_stream=lambda device: 0,
        get_current_target=lambda: triton.backends.compiler.GPUTarget("cuda", 90, 32),
    )
    monkeypatch.setattr(triton.runtime.driver, "_active", hopper)
    compiled, run = [], triton.JITFunction.run
    monkeypatch.setattr(
        triton.JITFunction,
        "run",
        lambda kernel, *args, warmup, **options: compiled.append(run(kernel, *args, warmup=True, **options)),
    )
    inputs = make_inputs((1, 14, 14, 90, 256), dtype, "cpu")
    inputs["edge_index"] = GridPyramid().edge_index
    along_edges(triton_edge_ops, **inputs)
    assert len(compiled) == 4
    assert all(kernel.asm["cubin"] for kernel in compiled)
