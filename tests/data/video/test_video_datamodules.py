import re

import numpy as np
import pytest
import torch

from data import SomethingSomethingDataModule, VideoFolderDataModule
from data.stream import StreamLoader
from data.video import DenseSampling, SegmentSampling, UniformSampling, check_videos, read_something_something

SMALL = {"num_frames": 4, "resize": 32, "crop": 24, "eval_crop": 28, "num_workers": 0, "batch_size": 2}


@pytest.fixture(scope="module", params=["v1", "v2"])
def data(request, scene_root):
    data = SomethingSomethingDataModule(str(scene_root), request.param, test_crops=3, **SMALL)
    for stage in ("fit", "test", "predict"):
        data.setup(stage)
    return data


def test_batches_of_every_stage(data):
    assert (data.num_classes, data.channels, len(data.class_names)) == (8, 3, 8)
    assert isinstance(data.train_dataloader(), StreamLoader)
    for loader, sizes, shape in [
        (data.train_dataloader(), [2, 2], (4, 3, 24, 24)),
        (data.val_dataloader(), [2, 1], (4, 3, 28, 28)),
        (data.test_dataloader(), [1, 1, 1], (6, 4, 3, 28, 28)),
        (data.predict_dataloader(), [1, 1], (6, 4, 3, 28, 28)),
    ]:
        batches = list(loader)
        assert [len(label) for _, label in batches] == sizes
        assert all(video.shape[1:] == shape and video.dtype == torch.uint8 for video, _ in batches)
        assert batches[0][1].dtype == torch.int64


def test_splits_are_the_official_ones(data):
    labels = {split: read_something_something(data.root, data.version, split).labels for split in ("train", "val")}
    assert sorted(torch.cat([label for _, label in data.train_dataloader()]).tolist()) == sorted(labels["train"])
    for loader in (data.val_dataloader(), data.test_dataloader()):
        assert torch.cat([label for _, label in loader]).tolist() == labels["val"]
    assert torch.cat([label for _, label in data.predict_dataloader()]).tolist() == [-1, -1]
    assert data.predict_dataloader().dataset.videos.ids == ["8", "9"]


def test_first_view_of_the_test_is_the_clip_of_validation(data):
    validation = torch.cat([video for video, _ in data.val_dataloader()])
    views = torch.cat([video for video, _ in data.test_dataloader()])
    assert torch.equal(views[:, 0], validation)
    assert all(len({tuple(view.flatten().tolist()) for view in video}) == 6 for video in views)


@pytest.mark.parametrize("portrait", [False, True])
def test_twenty_two_views_by_hand_begin_with_the_centre_of_the_middle_clip(tmp_path, write_folder, portrait):
    number, row, column = np.indices((16, 32, 80), dtype=np.uint8)
    frames = np.stack([row, column, number], axis=-1)
    for split in ("train", "val"):
        write_folder(tmp_path / split / "a/1", frames.swapaxes(1, 2) if portrait else frames, name="{}.png")
    settings = SMALL | {"side": "short", "eval_crop": 20}
    data = VideoFolderDataModule(str(tmp_path / "train"), str(tmp_path / "val"), **settings)
    data.setup("test")
    ((views, _),) = data.test_dataloader()
    if portrait:
        views = views.mT
    clips = [2, 6, 10, 14], [0, 4, 8, 12]
    corners = [30, 0, 6, 12, 18, 24, 36, 42, 48, 54, 60]
    expected = [frames[clip, 6:26, corner : corner + 20] for corner in corners for clip in clips]
    assert torch.equal(views[0], torch.from_numpy(np.stack(expected)).movedim(-1, 2))
    assert views[0, 0, :, :, 0, 0].tolist() == [[6, 30, number] for number in (2, 6, 10, 14)]


def test_samplings(scene_root):
    def samplings(**settings):
        data = SomethingSomethingDataModule(str(scene_root), **SMALL | settings)
        return [data.clip_sampling(split) for split in ("train", "val", "test", "predict")]

    train, val, test, predict = samplings(test_samplings=2)
    assert isinstance(train, SegmentSampling)
    assert isinstance(val, UniformSampling)
    assert (val.offsets, test.offsets, predict.offsets) == (0.5, [0.5, 0.0], [0.5, 0.0])
    assert samplings(sampling="uniform")[0].offsets == 0.5
    dense = samplings(sampling="dense", stride=3)
    assert all(isinstance(sampling, DenseSampling) and sampling.stride == 3 for sampling in dense)
    assert [sampling.places for sampling in dense] == [None, 0.5, [0.5, 0.0], [0.5, 0.0]]


def test_flip_swaps_labels_of_the_classes(scene_root):
    data = SomethingSomethingDataModule(str(scene_root), "v1", flip=True, **SMALL)
    mirrored = data._transforms["train"].transforms[-1].labels
    names = [data.class_names[label] for label in mirrored]
    assert [name for name, own in zip(names, data.class_names, strict=True) if name != own] == [
        "Pushing something from right to left",
        "Pushing something from left to right",
    ]


def test_folders(tmp_path, numbered_frames, write_folder):
    for name in ("train/a/1", "train/b/1", "val/b/1"):
        write_folder(tmp_path / name, numbered_frames(5))
    data = VideoFolderDataModule(str(tmp_path / "train"), str(tmp_path / "val"), **SMALL)
    data.setup("fit")
    data.setup("test")
    assert (data.num_classes, data.class_names) == (2, ["a", "b"])
    assert [label.tolist() for _, label in data.val_dataloader()] == [[1]]
    assert [label.tolist() for _, label in data.test_dataloader()] == [[1]]
    assert dict(data.hparams)["train"] == str(tmp_path / "train")
    assert VideoFolderDataModule(**data.hparams).num_frames == 4


def test_class_without_a_video_to_train_on_is_named(tmp_path, numbered_frames, write_folder):
    for name in ("train/a/1", "val/a/1"):
        write_folder(tmp_path / name, numbered_frames(5))
    (tmp_path / "train/b").mkdir()
    data = VideoFolderDataModule(str(tmp_path / "train"), str(tmp_path / "val"), **SMALL)
    assert data.videos("val").labels == [0]
    with pytest.raises(ValueError, match=r"Expected .*train to hold videos of every class \(got none of \['b'\]\)"):
        data.setup("fit")


def test_only_what_is_to_be_predicted_may_have_no_label(tmp_path):
    (tmp_path / "labelled.csv").write_text("path,label\n1.mp4,a\n2.mp4,b\n")
    rows = "".join(f"{number}.mp4,\n" for number in range(10, 22))
    (tmp_path / "partly.csv").write_text(f"path,label\n1.mp4,a\n2.mp4,b\n{rows}")
    labelled, partly = (str(tmp_path / name) for name in ("labelled.csv", "partly.csv"))
    for sources in ({"train": partly}, {"val": partly}, {"test": partly}):
        data = VideoFolderDataModule(**{"train": labelled, "val": labelled, "predict": partly} | sources, **SMALL)
        assert data.videos("predict").labels == [0, *[-1] * 10, 1, *[-1] * 2]
        (split,) = sources
        expected = (
            rf"partly.csv to have a label, since '{split}' .*\(got 12 without, the first \['10.mp4', .*'19.mp4'\]\)"
        )
        with pytest.raises(ValueError, match=expected):
            data.setup("test" if split == "test" else "fit")
        assert any(re.search(expected, problem.reason) for problem in check_videos(data, num_workers=0).problems)


def test_arguments_are_checked_before_the_labels_that_flips_need():
    for arguments, message in (({"brightness": 2.0}, "'brightness'"), ({"side": "width"}, "'side'")):
        with pytest.raises(ValueError, match=message):
            VideoFolderDataModule("/nowhere", "/nowhere", flip=True, **SMALL, **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sampling": "random"}, r"'sampling' to be one of \['segments', 'uniform', 'dense'\] \(got 'random'\)"),
        ({"decoder": "cv2"}, r"'decoder' to be one of \['auto', 'pyav', 'torchcodec'\] \(got 'cv2'\)"),
        ({"num_frames": 0}, r"'num_frames' to be an integer of at least 1 \(got 0\)"),
        ({"test_crops": 10}, r"'test_crops' to be odd"),
        ({"eval_crop": 33}, r"'eval_crop' to be at most 32, 'resize' \(got 33\)"),
        ({"crop": 40}, r"'crop' to be at most 32, 'resize' \(got 40\)"),
        ({"resize": 0}, r"'resize' to be an integer of at least 1 \(got 0\)"),
        ({"eval_crop": 0}, r"'eval_crop' to be an integer of at least 1 \(got 0\)"),
        ({"num_workers": -1}, r"'num_workers' to be an integer of at least 0 \(got -1\)"),
        ({"version": "v3"}, r"'version' to be one of"),
    ],
)
def test_wrong_arguments_are_named(scene_root, arguments, message):
    with pytest.raises(ValueError, match=message):
        len(SomethingSomethingDataModule(**{"root": str(scene_root), **SMALL, **arguments}).class_names)
