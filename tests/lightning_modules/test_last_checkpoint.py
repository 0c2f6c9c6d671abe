"""Fits that stop somewhere and go on: every item is trained on once, and every validation is made."""

import pytest
import pytorch_lightning as pl
import torch

from data.stream_datamodule import StreamDataModule
from lightning_modules.callbacks import LastCheckpoint, StepSeed

pytestmark = pytest.mark.filterwarnings("ignore")


class Numbers(StreamDataModule):
    channels, num_classes, epoch_items = 1, 2, 24

    def make_dataset(self, split):
        return torch.arange(1000 if split == "train" else 4)


class Witness(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.seen, self.validated = [], []

    def training_step(self, batch, batch_idx):
        self.seen += batch.tolist()
        return self.layer(batch[:, None].float()).mean()

    def validation_step(self, batch, batch_idx):
        self.validated.append(self.global_step)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1e-3)


class At(pl.Callback):
    """Does something at a step: after its backward pass, when it is over, or in the validation behind it."""

    def __init__(self, hook, step, action):
        def act(trainer, *args):
            if trainer.global_step == step:
                action(trainer)

        setattr(self, hook, act)


def fit(folder, *callbacks, every=200, batch_size=4, ckpt_path=None, **arguments):
    """Six steps an epoch; gives the items in the order they were trained on, and the steps validated after."""
    last = LastCheckpoint(every)
    last.dirpath = str(folder)
    trainer = pl.Trainer(
        accelerator="cpu", callbacks=[*callbacks, last], logger=False, num_sanity_val_steps=0, default_root_dir=folder,
        enable_progress_bar=False, enable_model_summary=False, **arguments,
    )  # fmt: skip
    witness = Witness()
    try:
        trainer.fit(witness, Numbers(batch_size, num_workers=0), ckpt_path=ckpt_path)
    except (KeyboardInterrupt, SystemExit):
        assert trainer.interrupted
    return witness.seen, witness.validated


def interrupt(trainer):
    raise KeyboardInterrupt


def stop(trainer):
    trainer.should_stop = True


@pytest.mark.parametrize("step", [4, 6, 8])
@pytest.mark.parametrize("every", [3, 200])
@pytest.mark.parametrize("by", ["max_steps", "should_stop"])
def test_fit_that_stops_in_mid_epoch_and_goes_on(tmp_path, step, every, by):
    if by == "max_steps":
        limits = [{"max_epochs": -1, "max_steps": steps} for steps in (step, 18)]
        first = fit(tmp_path, every=every, **limits[0])
    else:  # as max_time does
        limits = [{"max_epochs": 3}] * 2
        first = fit(tmp_path, At("on_train_batch_end", step, stop), every=every, **limits[0])
    then = fit(tmp_path, every=every, ckpt_path=tmp_path / "last.ckpt", **limits[1])
    assert first[0] == list(range(4 * step))
    assert first[0] + then[0] == list(range(72))
    assert sorted({6, 12, 18, *first[1]}) == first[1] + then[1]


@pytest.mark.parametrize("every", [1, 2, 3, 6])
@pytest.mark.parametrize("interval", [3, 6])
def test_validation_that_a_fit_was_killed_in_is_made(tmp_path, every, interval):
    killed = At("on_validation_batch_start", 6, interrupt)
    fit(tmp_path, killed, every=every, max_epochs=2, val_check_interval=interval)
    checkpoint = tmp_path / "last.ckpt"
    written = torch.load(checkpoint, weights_only=True)["global_step"] if checkpoint.exists() else 0
    assert written == {1: 5, 2: 4, 3: 4 if interval == 3 else 3, 6: 0}[every]
    then = fit(tmp_path, ckpt_path=checkpoint if written else None, max_epochs=2, val_check_interval=interval)
    assert then[0] == list(range(4 * written, 48))
    assert then[1] == [step for step in (3, 6, 9, 12) if step > written and step % interval == 0]


def test_fit_killed_twice_where_epochs_end_without_a_validation(tmp_path):
    items, checkpoint = [], tmp_path / "last.ckpt"
    for step in (8, 13, None):
        killed = [] if step is None else [At("on_train_batch_start", step, interrupt)]
        written = torch.load(checkpoint, weights_only=True)["global_step"] if checkpoint.exists() else 0
        given = checkpoint if written else None
        seen, _ = fit(tmp_path, *killed, every=6, ckpt_path=given, max_epochs=4, limit_val_batches=0)
        items = items[: 4 * written] + seen
    assert items == list(range(96))


def test_checkpoint_is_not_written_between_batches_of_a_step(tmp_path):
    written = []

    class Steps(LastCheckpoint):
        def _write(self, trainer):
            written.append((trainer.fit_loop.total_batch_idx + 1, trainer.global_step))
            super()._write(trainer)

    last = Steps(1)
    last.dirpath = str(tmp_path)
    fit(tmp_path, last, max_epochs=2, accumulate_grad_batches=3)  # validated after the steps 2 and 4, batches 6 and 12
    assert written == [(3, 1), (9, 3), (12, 4)]


def test_batch_that_a_signal_came_into_comes_again(tmp_path):
    inside = tmp_path / "inside.ckpt"  # as Lightning's handler of SLURM's signal writes it
    whole = fit(tmp_path, At("on_after_backward", 3, lambda trainer: trainer.save_checkpoint(inside)), max_epochs=2)
    then = fit(tmp_path, ckpt_path=inside, max_epochs=2)
    assert (whole, then) == ((list(range(48)), [6, 12]), (list(range(12, 48)), [6, 12]))


def test_draws_after_a_signal_within_a_step_are_those_of_the_fit_without(tmp_path):
    class Draws(StepSeed):
        def __init__(self):
            self.seeds = []

        def on_train_batch_start(self, *args):
            super().on_train_batch_start(*args)
            self.seeds.append(torch.initial_seed())

    whole, then, inside = Draws(), Draws(), tmp_path / "inside.ckpt"
    save = At("on_after_backward", 3, lambda trainer: trainer.save_checkpoint(inside))
    torch.manual_seed(7)
    fit(tmp_path, whole, save, max_epochs=2)
    torch.manual_seed(7)
    fit(tmp_path, then, ckpt_path=inside, max_epochs=2)
    assert len(set(whole.seeds)) == 12
    assert then.seeds == whole.seeds[3:]


def test_steps_between_writes_are_positive():
    with pytest.raises(ValueError, match=r"Expected 'every_n_train_steps' to be positive \(got 0\)"):
        LastCheckpoint(0)


def test_batches_of_another_size_begin_with_an_epoch(tmp_path):
    fit(tmp_path, max_epochs=-1, max_steps=4)
    with pytest.raises(ValueError, match=r"Expected 'batch_size' times processes to be 4 until .* ends \(got 8\)"):
        fit(tmp_path, batch_size=8, ckpt_path=tmp_path / "last.ckpt", max_epochs=2)
    fit(tmp_path, max_epochs=1)
    seen, validated = fit(tmp_path, batch_size=8, ckpt_path=tmp_path / "last.ckpt", max_epochs=2)
    assert (seen, validated) == (list(range(24, 48)), [9])
