from types import SimpleNamespace

import pytest
import torch

from data import NO_PAIR, PlacedDigits, PlacedDigitsDataModule, StreamLoader, SyncMNIST, SyncMNISTDataModule

SMALL = {"batch_size": 4, "num_workers": 0, "train_videos": 40, "val_videos": 6, "test_videos": 5}


def test_batches_of_every_stage():
    data = SyncMNISTDataModule(**SMALL)
    data.prepare_data()
    data.setup("fit")
    data.setup("test")
    assert (data.num_classes, data.channels, data.frame_size, data.num_frames) == (46, 1, 64, 10)
    for loader, sizes in [
        (data.train_dataloader(), [4] * 10),
        (data.val_dataloader(), [4, 2]),
        (data.test_dataloader(), [4, 1]),
        (data.predict_dataloader(), [4, 1]),
    ]:
        batches = list(loader)
        assert [len(video) for video, _ in batches] == sizes
        assert batches[0][0].shape == (4, 10, 1, 64, 64)
        assert batches[0][1].dtype == torch.int64
    assert isinstance(data.train_dataloader(), StreamLoader)
    assert [data._datasets[split].digits.split for split in ("train", "val", "test")] == ["train", "val", "test"]


def test_workers_persist_and_memory_is_pinned_for_cuda_only():
    data = SyncMNISTDataModule(**SMALL | {"num_workers": 2})
    data.setup("fit")
    for loader in (data.train_dataloader(), data.val_dataloader()):
        assert loader.persistent_workers
        assert loader.pin_memory == torch.cuda.is_available()
        first, again = ([label.tolist() for _, label in loader] for _ in range(2))
        assert first == again  # the workers of the first pass serve the second one


def test_curriculum_is_for_training_only():
    tables = {"num_digits": [(0, 2), (10, 3)], "max_move": [(0, 36), (20, 12)], "no_pair": [(0, 1.0), (30, 0.0)]}
    tables["overlap"] = 1.0
    data = SyncMNISTDataModule(**tables, **SMALL)
    assert data.eval_settings == {"num_digits": 3, "max_move": 12, "no_pair": 0.0}
    data.setup("fit")
    train, val = data._datasets["train"], data._datasets["val"]
    assert (train.paths(range(4)).classes[:, 2] == -1).all()
    assert train.paths([0]).label.item() == NO_PAIR
    assert (val.paths(range(6)).classes >= 0).all()
    assert (val.paths(range(6)).label != NO_PAIR).all()
    apart = SyncMNIST(data.digits("val"), 3, max_move=12, no_pair=0.0).paths(range(6)).coords
    assert (val.paths(range(6)).coords == apart).all()
    apart = SyncMNIST(train.digits, **{**tables, "overlap": 0.0}).paths(range(6)).coords
    assert (train.paths(range(6)).coords != apart).any()
    other = SyncMNISTDataModule(**tables, **SMALL, eval_num_digits=5, eval_max_move=10, eval_no_pair=1.0)
    assert other.eval_settings == {"num_digits": 5, "max_move": 10, "no_pair": 1.0}


def test_centres_are_for_training_only():
    data = SyncMNISTDataModule(**SMALL, train_centres=True)
    data.setup("fit")
    data.setup("test")
    video, centres, label = next(iter(data.train_dataloader()))
    plain = SyncMNISTDataModule(**SMALL)
    plain.setup("fit")
    for field, same in zip((video, label), next(iter(plain.train_dataloader())), strict=True):
        assert torch.equal(field, same)
    dataset = data._datasets["train"]
    torch.testing.assert_close(centres, dataset.centres(dataset.paths(range(4))), equal_nan=True)
    assert [len(next(iter(loader))) for loader in (data.val_dataloader(), data.test_dataloader())] == [2, 2]
    with pytest.raises(ValueError, match=r"Expected 'train_centres' to be False beside boxes=True \(got True\)"):
        SyncMNISTDataModule(boxes=True, train_centres=True)


def test_test_paths(fake_mnist_root, tmp_path):
    import numpy as np

    arrays = {
        "coords": np.zeros((3, 10, 2, 2), np.uint8),
        "digit_index": np.array([[1, 2]] * 3),
        "synchronous": [True] * 3,
    }
    np.savez(tmp_path / "paths.npz", **arrays)
    settings = SMALL | {"source": "mnist", "root": str(fake_mnist_root), "test_paths": str(tmp_path / "paths.npz")}
    data = SyncMNISTDataModule(**settings)
    data.setup("test")
    assert next(iter(data.test_dataloader()))[1].tolist() == [2, 2, 2]
    with pytest.raises(ValueError, match=r"'num_frames' to be 10, as in .*paths.npz \(got 4\)"):
        SyncMNISTDataModule(**settings, num_frames=4).setup("test")
    with pytest.raises(ValueError, match=r"'digits' to be the full MNIST test set"):
        SyncMNISTDataModule(**SMALL, test_paths="published").setup("test")


def test_published_test_paths(mnist_root):
    data = SyncMNISTDataModule(**SMALL, source="mnist", root=mnist_root, test_paths="published")
    data.setup("test")
    assert len(data._datasets["test"]) == 10_000


def test_placed_digits():
    data = PlacedDigitsDataModule(
        max_digits=2,
        overlap=0.5,
        frame_size=32,
        train_frames=20,
        val_frames=3,
        test_frames=2,
        batch_size=8,
        num_workers=0,
    )
    data.setup("fit")
    assert data.num_classes == 10
    frame, shown, centre = next(iter(data.train_dataloader()))
    assert frame.shape == (8, 1, 32, 32)
    assert shown.sum(dim=1).unique().tolist() == [1, 2]
    assert centre.shape == (8, 10, 2)
    assert isinstance(data._datasets["val"], PlacedDigits)
    assert data._datasets["val"].overlap == 0.5
    assert len(data.val_dataloader().dataset) == 3


def test_hyper_parameters_are_plain_types():
    data = SyncMNISTDataModule(num_digits=[(0, 2), (9, 3)], **SMALL)
    assert dict(data.hparams)["num_digits"] == [(0, 2), (9, 3)]
    assert dict(data.hparams)["batch_size"] == 4
    assert SyncMNISTDataModule(**data.hparams).train_settings == data.train_settings


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, r"'batch_size' to be an integer of at least 1 \(got 0\)"),
        ({"num_workers": -1}, r"'num_workers' to be an integer of at least 0 \(got -1\)"),
        ({"num_digits": 1}, r"'num_digits' to be between 2 and 10 \(got 1\)"),
        ({"num_digits": []}, r"'num_digits' to be an integer or a list .* \(got an empty list\)"),
        ({"num_frames": 0}, r"'num_frames' to be an integer of at least 1 \(got 0\)"),
        ({"canvas_size": 29}, r"'canvas_size' to be an integer of at least 30 \(got 29\)"),
        ({"seed": -1}, r"'seed' to be an integer in \[0, 2\^64\) \(got -1\)"),
        ({"val_videos": 0}, r"'val_videos' to be an integer of at least 1 \(got 0\)"),
        ({"eval_no_pair": 2}, r"'eval_no_pair' to be between 0 and 1 \(got 2\)"),
        ({"epoch_videos": 41}, r"'epoch_videos' to be between 1 and 40, 'train_videos' \(got 41\)"),
    ],
)
def test_wrong_arguments_are_named_before_files_are_read(arguments, message):
    with pytest.raises(ValueError, match=message):
        SyncMNISTDataModule(**SMALL | arguments)


def test_tables_of_something_else_are_named():
    for arguments, message in (
        ({"num_digits": [3]}, r"'num_digits' to be an integer or a list .* \(got 3 in it\)"),
        ({"no_pair": None}, r"'no_pair' to be a number or a list .* \(got None\)"),
    ):
        with pytest.raises(TypeError, match=message):
            SyncMNISTDataModule(**SMALL | arguments)


def test_missing_root_is_named_when_digits_are_read():
    data = SyncMNISTDataModule(**SMALL, source="mnist")
    with pytest.raises(ValueError, match=r"'root' to be a directory, since 'source' is 'mnist' \(got None\)"):
        data.setup("fit")


def test_more_digits_a_frame_than_there_are_classes_are_refused_at_once():
    with pytest.raises(ValueError, match=r"'max_digits' to be at most 10 \(got 11\)"):
        PlacedDigitsDataModule(max_digits=11)


def test_processes_train_on_videos_of_their_own():
    stream, seen = None, []
    for rank in range(2):
        data = SyncMNISTDataModule(
            num_frames=2, frame_size=32, batch_size=4, num_workers=0, train_videos=60, epoch_videos=20
        )
        data.trainer = SimpleNamespace(world_size=2, global_rank=rank)
        data.setup("fit")
        loader, batches = data.train_dataloader(), []
        for epoch in range(2):
            loader.sampler.set_epoch(epoch)
            batches += [video for video, _ in loader]
        seen.append(torch.cat(batches))
        stream = data.make_dataset("train").batch(range(40))[0]
    assert torch.equal(seen[0], stream[0::2])
    assert torch.equal(seen[1], stream[1::2])
