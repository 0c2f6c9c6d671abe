import csv
import os
from pathlib import Path

import pytest
import torch
from pytorch_lightning import LightningModule, Trainer
from torch import nn
from torch.utils.data import DataLoader, Dataset

from data.video import VideoList
from lightning_modules.callbacks import LearningCurve, PredictionWriter, StepSeed, Throughput
from lightning_modules.callbacks.confusion_figure import draw_confusion
from lightning_modules.csv_log import csv_logger, read_metrics


class Clock:
    """Stands still but for what is added."""

    now = 0.0

    def perf_counter(self):
        return self.now


class Sleeper(LightningModule):
    """By its clock a step takes 20 ms, and a validation batch a second."""

    def __init__(self, clock):
        super().__init__()
        self.clock = clock
        self.weight = nn.Parameter(torch.zeros(1))

    def training_step(self, batch, batch_idx):
        self.clock.now += 0.02
        loss = self.weight.sum()
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        self.clock.now += 1

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.fixture
def fit(tmp_path, monkeypatch):
    clock = Clock()
    monkeypatch.setattr("lightning_modules.callbacks.throughput.time", clock)

    def run(**settings):
        logger = csv_logger(tmp_path)
        trainer = Trainer(
            accelerator="cpu",
            max_epochs=2,
            logger=logger,
            default_root_dir=tmp_path,
            log_every_n_steps=1,
            callbacks=[Throughput(window=2), LearningCurve()],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            **settings,
        )
        videos = DataLoader(list(zip(torch.zeros(20, 1), torch.zeros(20), strict=True)), batch_size=4)
        trainer.fit(Sleeper(clock), videos, videos)
        return tmp_path

    return run


def test_throughput_counts_training_alone(fit):
    steps, rates = read_metrics(fit() / "metrics.csv")["train/videos_per_s"]
    # The first batch of an epoch, which warms up, starts the clock; every second one after gives a figure, which
    # Lightning logs until the next.
    assert steps == [2, 3, 4, 7, 8, 9]
    assert rates == pytest.approx([4 / 0.02] * 6)


def test_learning_curve_is_drawn_when_the_fit_ends(fit):
    assert (fit() / "learning_curve.png").stat().st_size > 1000


class NamedVideos(Dataset):
    """Videos that are the number of their class.

    Args:
        videos: Their names and labels.
    """

    def __init__(self, videos):
        self.videos = videos

    def __len__(self):
        return len(self.videos)

    def __getitem__(self, index):
        return self.videos.labels[index]


class Knowing(LightningModule):
    """Predicts that number."""

    def predict_step(self, batch, batch_idx):
        return {"probabilities": nn.functional.one_hot(batch, 2).float(), "labels": batch}


def test_predictions_of_videos_with_any_names(tmp_path):
    names = [
        b"plain, with a comma.mp4",
        b"\xff\xe9.mp4",
        "\u00e9.mp4".encode(),
        b"a;b.mp4",
        b'say "a".mp4',
        b"last.mp4",
    ]
    ids = [os.fsdecode(name) for name in names]
    videos = VideoList([Path(name) for name in ids], [0, 1, 1, 1, 0, 0], ids, ["push left", "push; right"])
    trainer = Trainer(
        accelerator="cpu",
        default_root_dir=tmp_path,
        logger=False,
        callbacks=[PredictionWriter()],
        enable_progress_bar=False,
    )
    trainer.predict(Knowing(), DataLoader(NamedVideos(videos), batch_size=4), return_predictions=False)
    assert (tmp_path / "predictions.csv").read_bytes().splitlines() == [
        b"plain, with a comma.mp4;push left",
        b'\xff\xe9.mp4;"push; right"',
        b'\xc3\xa9.mp4;"push; right"',
        b'"a;b.mp4";"push; right"',
        b'"say ""a"".mp4";push left',
        b"last.mp4;push left",
    ]
    with (tmp_path / "predictions.csv").open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        assert [row[0] for row in csv.reader(file, delimiter=";")] == ids


def test_log_that_goes_on_keeps_the_rows_before_its_checkpoint(tmp_path):
    first = csv_logger(tmp_path)
    for step in range(4):
        first.log_metrics({"train/loss": 1.0 + step}, step)
    again = csv_logger(tmp_path, resumed_step=2)
    again.log_metrics({"train/loss": 7.0, "val/acc": 0.5}, 2)
    assert read_metrics(tmp_path / "metrics.csv") == {
        "train/loss": ([0, 1, 2], [1.0, 2.0, 7.0]),
        "val/acc": ([2], [0.5]),
    }


def test_log_of_a_run_that_was_killed_in_the_middle_of_a_row(tmp_path):
    first = csv_logger(tmp_path)
    for step in range(2):
        first.log_metrics({"train/loss": 1.0 + step}, step)
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("0,2")
    assert read_metrics(tmp_path / "metrics.csv") == {"train/loss": ([0, 1], [1.0, 2.0])}
    csv_logger(tmp_path, resumed_step=2).log_metrics({"train/loss": 3.0}, 2)
    assert read_metrics(tmp_path / "metrics.csv") == {"train/loss": ([0, 1, 2], [1.0, 2.0, 3.0])}


def test_a_fit_leaves_its_seed_behind():
    torch.manual_seed(5)
    callback = StepSeed()
    callback.on_fit_start(None, None)
    torch.manual_seed(9)  # as every step does
    callback.on_fit_end(None, None)
    assert torch.initial_seed() == 5


def test_names_of_classes_are_no_formulas(tmp_path):
    names = ["costs $5", r"$\frac{$"]
    figure = draw_confusion(torch.eye(2), tmp_path / "confusion.png", names)
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == names


@pytest.mark.parametrize(("number", "named"), [(3, True), (21, False)])
def test_confusion_matrix_names_few_classes(tmp_path, number, named):
    names = [f"class {i}" for i in range(number)]
    figure = draw_confusion(torch.eye(number), tmp_path / "confusion.png", names)
    shown = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert (shown == names) == named
