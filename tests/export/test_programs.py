import pytest
import torch

from rstg_pyg import VideoClassifier
from rstg_pyg.export import export_program
from rstg_pyg.export.programs import first_state, random_clips
from rstg_pyg.models import BoxRSTGToVec, ClassifierHead, SmallCNN, SmallI3D
from rstg_pyg.nn import RSTGToVec

CLIP = [3, 1, 8, 8]


@pytest.mark.parametrize("num_clips", [1, 5])  # traced with two
def test_clip_takes_any_batch(model, program, num_clips):
    clips = torch.rand(num_clips, *CLIP)
    torch.testing.assert_close(program["clip"].module()(clips), model(clips))


@pytest.mark.parametrize("num_clips", [1, 5])
def test_step_takes_any_batch_and_videos_of_any_length(model, program, num_clips):
    videos = torch.rand(num_clips, 7, *CLIP[1:])
    step = program["step"].module()
    state = first_state(model, videos[:, 0])
    for count, frame in enumerate(videos.unbind(dim=1), start=1):
        logits, *state = step(frame, *state)
        torch.testing.assert_close(logits, model(videos[:, :count]))


def test_step_without_a_recurrent_cell(make_classifier):
    model = make_classifier(schedule="homogeneous")
    videos = torch.rand(3, *CLIP)
    step, state = export_program(model, "step", CLIP).module(), first_state(model, videos[:, 0])
    for frame in videos.unbind(dim=1):
        logits, *state = step(frame, *state)
    torch.testing.assert_close(logits, model(videos))


def test_first_state_is_as_none(model):
    frame = torch.rand(2, *CLIP[1:])
    state = first_state(model, frame)
    assert not any(tensor.any() for tensor in state)
    torch.testing.assert_close(model.step(frame, state), model.step(frame))


def test_shape_of_the_clips_is_that_of_the_config(model):
    model = VideoClassifier(model.backbone, model.graph, model.head).eval()
    with pytest.raises(ValueError, match=r"Expected 'clip_shape' .* for a model without 'config' \(got None\)"):
        export_program(model, "clip")
    model.config = {"input": {"channels": 1, "num_frames": 3, "frame_size": [8, 9], "value_range": [0.0, 1.0]}}
    assert random_clips(model, 2).shape == (2, 3, 1, 8, 9)


def test_what_cannot_be_exported(model):
    with pytest.raises(ValueError, match=r"Expected 'part' to be one of \['clip', 'step'\] \(got 'frame'\)"):
        export_program(model, "frame", CLIP)
    with pytest.raises(ValueError, match=r"Expected 'clip_shape' to be \[T, channels, H, W\] \(got \[1, 8, 8\]\)"):
        export_program(model, "clip", CLIP[1:])
    training = VideoClassifier(model.backbone, model.graph, model.head)
    with pytest.raises(ValueError, match="Expected 'model' to be in eval mode"):
        export_program(training, "clip", CLIP)
    boxes = VideoClassifier(SmallCNN(1, widths=(2, 4)), BoxRSTGToVec(4, 4), ClassifierHead(4, 3)).eval()
    with pytest.raises(ValueError, match=r"Expected 'model' to have a graph over the clip alone .* BoxRSTGToVec"):
        export_program(boxes, "clip", CLIP)
    i3d = SmallI3D(1, widths=(2, 4), blocks=(1, 1))
    over_time = VideoClassifier(i3d, RSTGToVec(channels=i3d.out_channels, node_channels=4), ClassifierHead(4, 3)).eval()
    with pytest.raises(ValueError, match=r"backbone that reads every frame by itself .* SmallI3D"):
        export_program(over_time, "step", [8, 1, 24, 24])
