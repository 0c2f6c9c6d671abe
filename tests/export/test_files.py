import copy
import shutil
from pathlib import Path

import pytest
import torch
from onnxruntime import InferenceSession
from torch._inductor import config as inductor_config

import rstg_pyg
from rstg_pyg.export import export_program, files, largest_difference, load_program, write_program

CLIP = [3, 1, 8, 8]


@pytest.mark.parametrize("part", ["clip", "step"])
@pytest.mark.parametrize("format", ["exported_program", "onnx"])
def test_file_says_what_the_model_says(model, program, part, format, tmp_path):
    path = tmp_path / f"model{files.SUFFIXES[format]}"
    write_program(program[part], path, format)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert str(Path(rstg_pyg.__file__).parent).encode() not in path.read_bytes()
    run = load_program(path, format)
    for num_clips in (1, 4):
        assert largest_difference(run, model, part, torch.rand(num_clips, *CLIP)) < 1e-5


@pytest.mark.parametrize("format", ["exported_program", "onnx"])
def test_file_of_a_step_without_state(make_classifier, format, tmp_path):
    model = make_classifier(schedule="space_only", readout="last")
    path = tmp_path / f"model{files.SUFFIXES[format]}"
    write_program(export_program(model, "step", CLIP), path, format)
    run = load_program(path, format)
    for num_clips in (1, 4):
        assert largest_difference(run, model, "step", torch.rand(num_clips, *CLIP)) < 1e-5
    if format == "onnx":
        assert [described.name for described in InferenceSession(path).get_inputs()] == ["frame"]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler here")
def test_compiled_step_says_what_the_model_says(model, program, tmp_path):
    with inductor_config.patch("aot_inductor.compile_wrapper_opt_level", "O0"):  # compiles sooner
        write_program(program["step"], tmp_path / "step.pt2", "aot_inductor")
    run = load_program(tmp_path / "step.pt2", "aot_inductor")
    for num_clips in (1, 4):
        assert largest_difference(run, model, "step", torch.rand(num_clips, *CLIP)) < 1e-5


def test_difference_is_the_largest_of_the_logits(model):
    clips = torch.rand(2, *CLIP)
    wrong = torch.tensor([[0.0, 0.0, 0.25], [0.0, -0.5, 0.0]])
    assert largest_difference(lambda clip: model(clip) + wrong, model, "clip", clips) == pytest.approx(0.5)

    large = copy.deepcopy(model)
    large.head[-1].weight.data *= 1000
    assert largest_difference(lambda clip: 2 * large(clip), large, "clip", clips) == pytest.approx(1.0)

    def forgetful(frame, *state):
        logits, _ = model.step(frame)
        return logits, *state

    expected = (model.step(clips[:, -1])[0] - model(clips)).abs().max().item()
    assert largest_difference(forgetful, model, "step", clips) == pytest.approx(expected)
    assert expected > 1e-3


def test_what_cannot_be_written_or_read(program, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"Expected 'format' to be one of .* \(got 'torchscript'\)"):
        write_program(program["clip"], tmp_path / "model.pt", "torchscript")
    with pytest.raises(
        ValueError, match=r"Expected a file that ends in \.onnx for format 'onnx' \(got '.*model.pt2'\)"
    ):
        write_program(program["clip"], tmp_path / "model.pt2", "onnx")
    with pytest.raises(FileNotFoundError, match=r"Expected 'path' to be a file \(got '.*none.onnx'\)"):
        load_program(tmp_path / "none.onnx", "onnx")
    monkeypatch.setattr(files, "find_spec", lambda name: None if name == "onnxscript" else object())
    with pytest.raises(ImportError, match=r"Expected onnxscript to be installed .* pip install onnxscript"):
        write_program(program["clip"], tmp_path / "model.onnx", "onnx")
    monkeypatch.setenv("CXX", "no-compiler")
    with pytest.raises(RuntimeError, match=r"Expected a C\+\+ compiler for .* \(got none called no-compiler; CXX may"):
        write_program(program["clip"], tmp_path / "model.pt2", "aot_inductor")
    assert not list(tmp_path.iterdir())


def test_compiled_code_is_loaded_without_a_compiler(tmp_path, monkeypatch):
    monkeypatch.setenv("CXX", "no-compiler")
    monkeypatch.setattr(torch._inductor, "aoti_load_package", lambda path: f"loaded {path}")
    path = tmp_path / "model.pt2"
    path.touch()
    assert load_program(path, "aot_inductor") == f"loaded {path}"
