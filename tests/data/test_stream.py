import itertools

import pytest
import pytorch_lightning as pl
import torch
from hypothesis import given
from hypothesis import strategies as st
from pytorch_lightning.callbacks import ModelCheckpoint

from data import StreamLoader, StreamSampler, SyncMNISTDataModule


@given(
    stream=st.integers(1, 60),
    share=st.floats(0, 1),
    replicas=st.integers(1, 4),
    epoch=st.integers(0, 5),
    data=st.data(),
)
def test_ranks_take_every_index_of_an_epoch_once(stream, share, replicas, epoch, data):
    stream = max(stream, replicas)
    items = max(replicas, round(share * stream))
    samplers = [StreamSampler(stream, items, replicas, rank) for rank in range(replicas)]
    seen = []
    for sampler in samplers:
        sampler.set_epoch(epoch)
        assert len(list(sampler)) == len(sampler) == items // replicas
        seen += list(sampler)
    assert sorted(seen) == sorted((epoch * items + k) % stream for k in range(items // replicas * replicas))
    first = data.draw(st.integers(0, items // replicas)) * replicas  # seen before a restart, perhaps with other ranks
    rest = []
    for sampler in samplers:
        sampler.first = first
        rest += list(sampler)
    assert sorted(rest) == sorted((epoch * items + k) % stream for k in range(first, items // replicas * replicas))


@pytest.mark.parametrize(("stream", "items", "replicas"), [(10, 11, 1), (10, 0, 1), (10, 3, 4)])
def test_wrong_epoch_length_is_named(stream, items, replicas):
    with pytest.raises(ValueError, match=rf"'epoch_items' to be between {replicas}.* {stream}, .*\(got {items}\)"):
        StreamSampler(stream, items, replicas)


def loader(num_workers=0):
    return StreamLoader(torch.arange(100), sampler=StreamSampler(100, 20), batch_size=3, num_workers=num_workers)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_loader_goes_on_with_the_next_batch(num_workers):
    first = loader(num_workers)
    first.sampler.set_epoch(2)
    batches = iter(first)
    for _ in range(4):
        last = next(batches)
    assert last.tolist() == [49, 50, 51]
    assert first.state_dict() == {
        "epoch": 2,
        "items": 12,
        "step": 3,
        "epoch_items": 20,
        "stream_items": 100,
        "skipped_epochs": 0,
    }  # whatever the workers have made in advance
    second = loader(num_workers)
    second.load_state_dict(first.state_dict())
    assert second.state_dict() == first.state_dict()
    second.sampler.set_epoch(2)
    assert torch.cat(list(second)).tolist() == list(range(52, 60))
    assert torch.cat(list(second)).tolist() == list(range(40, 60))  # again: from the beginning
    assert len(second) == 7


@pytest.mark.parametrize(
    ("stream", "epoch", "message"),
    [(90, 20, r"items of the training's stream to be 100 .*\(got 90\)"), (100, 25, r"an epoch to be 20 .*\(got 25\)")],
)
def test_epoch_of_another_stream_is_not_gone_on_with(stream, epoch, message):
    first = loader()
    next(iter(first))
    second = StreamLoader(torch.arange(stream), sampler=StreamSampler(stream, epoch), batch_size=3)
    second.load_state_dict(first.state_dict())
    with pytest.raises(ValueError, match=message):
        next(iter(second))
    second.load_state_dict(first.state_dict())
    second.sampler.set_epoch(1)
    assert next(iter(second)).tolist() == [epoch, epoch + 1, epoch + 2]


def test_loader_goes_on_twice_within_an_epoch():
    state, seen = None, []
    for number in (2, 3, 2):
        part = loader()
        if state is not None:
            part.load_state_dict(state)
        part.sampler.set_epoch(1)
        seen += torch.cat(list(itertools.islice(part, number))).tolist()
        state = part.state_dict()
    assert seen == list(range(20, 40))


@pytest.mark.parametrize("items", [6, 20])  # 6 of 20: the epoch was ended early, by Lightning's `limit_train_batches`
def test_restart_between_epochs(items):
    second = loader()
    second.load_state_dict({"epoch": 0, "items": items, "skipped_epochs": 0})
    second.sampler.set_epoch(1)
    assert torch.cat(list(second)).tolist() == list(range(20, 40))


def test_epochs_counted_without_batches_leave_no_gap_in_the_stream():
    second = loader()
    second.load_state_dict({"epoch": 0, "items": 20, "skipped_epochs": 0})
    second.sampler.set_epoch(1)
    second.sampler.set_epoch(2)
    assert torch.cat(list(second)).tolist() == list(range(20, 40))
    second.sampler.set_epoch(3)
    assert next(iter(second)).tolist() == [40, 41, 42]
    third = loader()
    third.load_state_dict(second.state_dict())
    third.sampler.set_epoch(3)
    assert next(iter(third)).tolist() == [43, 44, 45]


class Tiny(pl.LightningModule):
    """Every batch changes the weights, and the order of batches matters."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.layer = torch.nn.Linear(16, 46)
        self.seen = []

    def training_step(self, batch, batch_idx):
        video, label = batch
        self.seen.append((self.global_step, batch_idx, label.tolist()))
        features = torch.nn.functional.avg_pool2d(video[:, :, 0] / 255.0, 8).mean(dim=1).flatten(1)
        return torch.nn.functional.cross_entropy(self.layer(features), label)

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", self.training_step(batch, batch_idx))
        self.seen.pop()

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.05)


def fit(folder, num_workers, checkpoint=None, model=None, callbacks=(), **arguments):
    pl.seed_everything(1)
    data = SyncMNISTDataModule(
        num_frames=2,
        frame_size=32,
        batch_size=4,
        train_videos=200,
        epoch_videos=22,
        val_videos=4,
        num_workers=num_workers,
    )
    save = ModelCheckpoint(folder, filename="{step}", every_n_train_steps=1, save_top_k=-1)
    save_epochs = ModelCheckpoint(folder, filename="epoch-{epoch}", save_on_train_epoch_end=True, save_top_k=-1)
    save_val = ModelCheckpoint(folder, filename="val-{epoch}", monitor="val_loss", save_top_k=-1)
    trainer = pl.Trainer(
        accelerator="cpu", callbacks=[save, save_epochs, save_val, *callbacks], logger=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=folder, **arguments,
    )  # fmt: skip
    model = model or Tiny()
    trainer.fit(model, data, ckpt_path=checkpoint)
    return model


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("limit", [{"max_epochs": 3}, {"max_steps": 16, "max_epochs": -1}], ids=["epochs", "steps"])
def test_resumed_fit_ends_with_the_same_weights(tmp_path, num_workers, limit):
    """Six batches an epoch. Checkpoints within an epoch, at its last batch, after it and after validation."""
    whole = fit(tmp_path / "whole", num_workers, **limit)
    assert [index for _, index, _ in whole.seen[:7]] == [0, 1, 2, 3, 4, 5, 0]
    names = {"step=3": 3, "step=8": 8, "step=12": 12, "epoch-epoch=0": 6, "val-epoch=1": 12}
    for name, step in names.items() if num_workers == 0 else [("step=8", 8)]:
        resumed = fit(tmp_path / name, num_workers, tmp_path / "whole" / f"{name}.ckpt", **limit)
        assert resumed.seen == whole.seen[step:], name
        for parameter, expected in zip(resumed.parameters(), whole.parameters(), strict=True):
            assert torch.equal(parameter, expected), name


@pytest.mark.filterwarnings("ignore")
def test_killed_fit_is_resumed(tmp_path):
    class Kill(pl.Callback):
        def on_train_batch_start(self, trainer, module, batch, batch_idx):
            if trainer.global_step == 9:
                raise KeyboardInterrupt

    whole = fit(tmp_path / "whole", 2, max_epochs=2)
    killed = Tiny()
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        fit(tmp_path / "killed", 2, model=killed, callbacks=(Kill(),), max_epochs=2)
    resumed = fit(tmp_path / "resumed", 2, tmp_path / "killed" / "step=9.ckpt", max_epochs=2)
    assert killed.seen + resumed.seen == whole.seen
    for parameter, expected in zip(resumed.parameters(), whole.parameters(), strict=True):
        assert torch.equal(parameter, expected)


@pytest.mark.filterwarnings("ignore")
def test_lightnings_limits(tmp_path):
    limited = fit(tmp_path / "limited", 0, max_epochs=2, limit_train_batches=2)
    whole = fit(tmp_path / "whole", 0, max_epochs=2)
    labels = [seen[2] for seen in whole.seen]
    assert [seen[2] for seen in limited.seen] == labels[:2] + labels[6:8]  # epoch 1 begins where it always does
    overfit = fit(tmp_path / "overfit", 0, max_epochs=2, overfit_batches=2, limit_val_batches=0)
    assert [seen[2] for seen in overfit.seen] == labels[:2] * 2
