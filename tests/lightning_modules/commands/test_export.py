import re
from contextlib import nullcontext

import numpy as np
import onnxruntime
import pytest
import torch

from lightning_modules.commands import export as command
from lightning_modules.commands.export import export
from rstg_pyg import VideoClassifier


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model that is shared."""
    cnn = {"class_path": "rstg_pyg.models.SmallCNN", "init_args": {"widths": [2, 4]}}
    graph = {
        "class_path": "rstg_pyg.nn.RSTGToVec",
        "init_args": {"channels": 4, "node_channels": 4, "pyramid": [2, 1], "num_iterations": 1},
    }
    head = {"class_path": "rstg_pyg.models.ClassifierHead", "init_args": {"in_channels": 4, "num_classes": 2}}
    network = {"class_path": "rstg_pyg.VideoClassifier", "init_args": {"backbone": cnn, "graph": graph, "head": head}}
    clips = {"channels": 1, "num_frames": 3, "frame_size": [8, 8], "value_range": [0.0, 1.0]}
    model = VideoClassifier.from_config({"network": network, "class_names": ["left", "right"], "input": clips})
    path = tmp_path_factory.mktemp("shared") / "model"
    model.save_pretrained(path)
    return path


def test_onnx_runtime_follows_a_video_with_nothing_but_the_file(folder, tmp_path, capsys):
    path = tmp_path / "new/step.onnx"
    export("onnx", "step", path, pretrained=str(folder))
    shown = capsys.readouterr().out
    assert re.search(rf"Wrote {path} \([\d.]+ MiB\): takes frame \[batch, 1, 8, 8\] and the state\n", shown)
    assert re.search(r"driven over 3 frames from a state of zeros, .*: largest difference \S+\n", shown)

    session = onnxruntime.InferenceSession(path)
    frame, *states = session.get_inputs()
    assert [described.name for described in session.get_inputs()] == ["frame", "state_0", "state_1"]
    assert [described.name for described in session.get_outputs()] == ["logits", "next_state_0", "next_state_1"]
    assert frame.shape == ["batch", 1, 8, 8]
    video = np.random.default_rng(0).random((5, 1, 1, 8, 8), dtype=np.float32)
    state = [np.zeros([1, *described.shape[1:]], np.float32) for described in states]
    for image in video:
        logits, *state = session.run(None, {"frame": image, "state_0": state[0], "state_1": state[1]})
    expected = VideoClassifier.from_pretrained(folder)(torch.from_numpy(video).transpose(0, 1))
    torch.testing.assert_close(torch.from_numpy(logits), expected.detach())


@pytest.mark.parametrize("right", [True, False])
def test_file_that_is_there_is_replaced_by_one_that_says_the_same_alone(folder, tmp_path, monkeypatch, right):
    run = VideoClassifier.from_pretrained(folder) if right else lambda clip: torch.zeros(len(clip), 2)
    monkeypatch.setattr(command, "export_program", lambda *_: None)
    monkeypatch.setattr(command, "write_program", lambda _, path, *__: path.write_text("the new one"))
    monkeypatch.setattr(command, "load_program", lambda *_: run)
    path = tmp_path / "clip.pt2"
    path.write_text("the earlier one")
    message = r"Expected '.*clip.pt2' to give the model's logits .* to 0.0001 \(got a"
    with nullcontext() if right else pytest.raises(RuntimeError, match=message):
        export("exported_program", "clip", path, pretrained=str(folder))
    assert [file.read_text() for file in tmp_path.iterdir()] == ["the new one" if right else "the earlier one"]


def test_arguments_that_do_not_fit(folder, tmp_path):
    with pytest.raises(ValueError, match=r"Expected a file that ends in \.onnx"):
        export("onnx", "clip", tmp_path / "clip.pt2", pretrained=str(folder))
    with pytest.raises(ValueError, match="Expected 'ckpt_path' or 'pretrained', and not both"):
        export("onnx", "clip", tmp_path / "clip.onnx")
    with pytest.raises(ValueError, match="Expected 'part' to be one of"):
        export("onnx", "frame", tmp_path / "frame.onnx", pretrained=str(folder))
