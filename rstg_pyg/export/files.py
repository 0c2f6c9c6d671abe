"""Exported programs as files, and back as functions of tensors."""

import os
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

Format = Literal["exported_program", "onnx", "aot_inductor"]
SUFFIXES = {"exported_program": ".pt2", "onnx": ".onnx", "aot_inductor": ".pt2"}
FORMATS = tuple(SUFFIXES)


def write_program(program: torch.export.ExportedProgram, path: str | Path, format: Format) -> None:
    """Write an exported program.

    ==================== ============================================== ================================
    ``format``           the file                                       what runs it
    ==================== ============================================== ================================
    ``exported_program`` ``.pt2``, a graph of PyTorch's operations      ``torch.export.load``
    ``onnx``             ``.onnx``, weights inside                      ONNX Runtime and others
    ``aot_inductor``     ``.pt2``, machine code for one kind of machine ``torch._inductor`` or C++
    ==================== ============================================== ================================

    In ONNX the inputs are called ``clip``, or ``frame`` and ``state_0``, ``state_1``, ...; the outputs ``logits`` and
    ``next_state_0``, ...; their first axis ``batch``.

    Args:
        program: What :func:`export_program` gives.
        path: Where to write; a file that is there is replaced.
        format: One of the table.

    Raises:
        ValueError: If ``format`` is none of its choices, or ``path`` ends otherwise than such files do.
        ImportError: If ``format`` is ``"onnx"`` and the packages of the extra ``export`` are missing.
        RuntimeError: If ``format`` is ``"aot_inductor"`` and there is no C++ compiler.
    """
    check_format(path, format)
    if format == "exported_program":
        torch.export.save(program, path)
    elif format == "aot_inductor":
        torch._inductor.aoti_compile_and_package(program, package_path=str(path))
    else:
        _write_onnx(program, path)


def check_format(path: str | Path, format: Format) -> None:
    """Raise what :func:`write_program` would, without a program."""
    _check_suffix(path, format)
    if format == "onnx":
        _check_installed("onnx", "onnxscript", "onnxruntime")
    compiler = os.environ.get("CXX", "g++")
    if format == "aot_inductor" and shutil.which(compiler) is None:
        raise RuntimeError(
            f"Expected a C++ compiler for format 'aot_inductor' (got none called {compiler}; CXX may name another)"
        )


def _check_suffix(path: str | Path, format: Format) -> None:
    if format not in FORMATS:
        raise ValueError(f"Expected 'format' to be one of {list(FORMATS)} (got {format!r})")
    if Path(path).suffix != SUFFIXES[format]:
        raise ValueError(f"Expected a file that ends in {SUFFIXES[format]} for format {format!r} (got '{path}')")


def _check_installed(*packages: str) -> None:
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise ImportError(
            f"Expected {', '.join(missing)} to be installed for format 'onnx': pip install {' '.join(missing)}"
        )


def load_program(path: str | Path, format: Format) -> Callable[..., Any]:
    """Load what :func:`write_program` wrote, as a function of tensors.

    ``logits = run(clip)`` for a clip, ``logits, *state = run(frame, *state)`` for a step, in all formats. ONNX runs on
    the CPU.

    Raises:
        ValueError: If ``format`` is none of its choices, or ``path`` ends otherwise than such files do.
        FileNotFoundError: If there is no such file.
        ImportError: If ``format`` is ``"onnx"`` and ONNX Runtime is missing.
    """
    _check_suffix(path, format)
    if format == "onnx":
        _check_installed("onnxruntime")
    if not Path(path).is_file():
        raise FileNotFoundError(f"Expected 'path' to be a file (got '{path}')")
    if format == "exported_program":
        return torch.export.load(path).module()
    if format == "aot_inductor":
        return torch._inductor.aoti_load_package(str(path))
    return _load_onnx(path)


def _write_onnx(program: torch.export.ExportedProgram, path: str | Path) -> None:
    first, *others = program.graph_signature.user_inputs
    states = [f"state_{number}" for number in range(len(others))]
    onnx_program = torch.onnx.export(
        program,
        input_names=[first, *states],
        output_names=["logits", *(f"next_{name}" for name in states)],
        dynamic_shapes=({0: "batch"}, tuple({0: "batch"} for _ in states)) if states else ({0: "batch"},),
        dynamo=True,
        verbose=False,
    )
    assert onnx_program is not None
    for node in onnx_program.model.graph.all_nodes():
        node.metadata_props.clear()  # the exporter notes lines of code, and the folders they are in
    onnx_program.save(path, external_data=False)


def _load_onnx(path: str | Path) -> Callable[..., Any]:
    from onnxruntime import InferenceSession

    session = InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [described.name for described in session.get_inputs()]

    def run(*tensors: Tensor) -> Tensor | tuple[Tensor, ...]:
        arrays = (tensor.numpy() for tensor in tensors)
        outs = tuple(map(torch.from_numpy, session.run(None, dict(zip(names, arrays, strict=True)))))
        return outs[0] if names == ["clip"] else outs

    return run
