"""One training of the table: fitted or gone on with, tested once, its figures kept as JSON."""

import json
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

from experiments.protocol import EPOCHS, MANY, NUM_TEST_VIDEOS, ROWS, curriculum
from experiments.resumable import REPOSITORY, digest_files, fit, keep

RUNS = Path("runs", "table1")
RESULTS = REPOSITORY / "docs" / "results" / "table1"


@dataclass(frozen=True)
class Run:
    """A training of a row.

    Args:
        row: Key of the row.
        digits: Digits in a video.
        num_videos: Videos seen in training.
        rate: Learning rate.
        seed: Seed of the initial weights; the videos are the same for all.
        start: Run whose best weights it starts from, or None.
        search: Whether it only helps to choose the learning rate, and is not tested.
    """

    row: str
    digits: int
    num_videos: int
    rate: float
    seed: int = 0
    start: "Run | None" = None
    search: bool = False

    @property
    def name(self) -> str:
        """Name of the run's folder and of its figures."""
        parts = [
            f"{self.digits}digits",
            self.row,
            f"{self.num_videos}videos",
            f"lr{self.rate:g}",
            f"seed{self.seed}",
        ]
        return "-".join([*parts, f"from{self.start.digits}digits"] if self.start else parts)


@dataclass(frozen=True)
class Figures:
    """What a run gave.

    Args:
        row: Key of the row.
        digits: Digits in a video.
        num_videos: Videos seen in training.
        rate: Learning rate.
        seed: Seed.
        start: Name of the run whose weights it started from, or None.
        videos: Videos seen at each validation.
        accuracy: Validation accuracy then.
        loss: Validation loss then.
        videos_per_s: Median speed of the training; None where it was over before the first figure of it.
        parameters: Number of parameters.
        multiply_adds: Multiply-adds of one clip, forward.
        test_accuracy: Top-1 on the test set at the best validation; None for a run of the search.
        processor: The kind of machine.
        command: The command that trains it.
        files: Digest of the configs and weights that the command names, as they were when the training began.
    """

    row: str
    digits: int
    num_videos: int
    rate: float
    seed: int
    start: str | None
    videos: list[int]
    accuracy: list[float]
    loss: list[float]
    videos_per_s: float | None
    parameters: int
    multiply_adds: int
    test_accuracy: float | None
    processor: str
    command: str
    files: str


@dataclass(frozen=True)
class Workshop:
    """Where and how the runs of one call are made.

    Args:
        runs: Folder of the runs; what is there is gone on with.
        mnist: MNIST root as torchvision lays it out.
        threads: Threads of each training.
        results: Folder of the figures.
    """

    runs: Path
    mnist: Path
    threads: int
    results: Path = RESULTS

    def figures(self, run: Run) -> Figures:
        """Figures of a run: read where they are kept, else the run is made, or finished, first.

        Raises:
            RuntimeError: If the training or the test fails; the message ends with what it printed last.
            ValueError: If what is kept, or has begun, was made by other commands than today's.
        """
        if not (self.results / f"{run.name}.json").is_file():
            files = _files(run)
            self._fit(run)
            test_accuracy = None if run.search else self._test(run)
            figures = self._collect(run, test_accuracy, files)
            keep(figures, self.results / f"{run.name}.json")
        return read_figures(run, self.results)

    def checkpoint(self, run: Run) -> Path:
        """The best checkpoint of a run."""
        return best_checkpoint(self.runs, run)

    def _fit(self, run: Run) -> None:
        if run.start is not None:
            self._fit(run.start)  # its figures may be kept and the weights, on another machine, not
        main = partial(self._main, run)
        fit(self.runs / run.name, main, *fit_arguments(run, self.runs), "--data.root", str(self.mnist))

    def _test(self, run: Run) -> float:
        fitted = self.runs / run.name
        arguments = ["--config", str(fitted / "config.yaml"), "--ckpt_path", str(self.checkpoint(run))]
        arguments += ["--trainer.devices", "1"]  # several would test some videos twice
        self._main(run, "test", *arguments, *test_arguments(run.digits))
        from lightning_modules.csv_log import read_metrics

        return read_metrics(fitted / "test" / "metrics.csv")["test/acc"][1][-1]

    def _main(self, run: Run, *arguments: str) -> None:
        """Run ``main.py`` with a log of its own."""
        log = self.runs / f"{run.name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "OMP_NUM_THREADS": str(self.threads)}
        workers = str(max(1, self.threads - 1))
        command = [sys.executable, "main.py", *arguments, "--data.num_workers", workers]
        command += ["--trainer.enable_progress_bar", "false"]
        with log.open("a") as file:
            done = subprocess.run(command, cwd=REPOSITORY, env=environment, stdout=file, stderr=file, check=False)
        if done.returncode != 0:
            last = "\n".join(log.read_text().splitlines()[-20:])
            raise RuntimeError(f"{run.name} stopped with {done.returncode}; the end of {log}:\n{last}")

    def _collect(self, run: Run, test_accuracy: float | None, files: str) -> Figures:
        import torch

        from benchmarks.settings import processor_name
        from lightning_modules import VideoClassification
        from lightning_modules.csv_log import read_metrics
        from rstg_pyg import summary

        metrics = read_metrics(self.runs / run.name / "metrics.csv")
        steps, accuracy = metrics["val/acc"]
        batch = run.num_videos / (steps[-1] + 1)
        speeds = metrics.get("train/videos_per_s")
        network = VideoClassification.load_from_checkpoint(self.checkpoint(run), map_location="cpu").network
        cost = summary(network, torch.zeros(1, 10, 1, 64, 64))
        return Figures(
            run.row,
            run.digits,
            run.num_videos,
            run.rate,
            run.seed,
            run.start.name if run.start else None,
            videos=[round(batch * (step + 1)) for step in steps],
            accuracy=accuracy,
            loss=metrics["val/loss"][1],
            videos_per_s=median(speeds[1]) if speeds else None,
            parameters=cost.parameters,
            multiply_adds=cost.multiply_adds,
            test_accuracy=test_accuracy,
            processor=f"{processor_name()}, threads: {self.threads}",
            command=fit_command(run),
            files=files,
        )


def read_figures(run: Run, results: Path) -> Figures:
    """The kept figures of a run.

    Args:
        run: The run.
        results: Folder of the figures.

    Raises:
        ValueError: If the file holds those of another run, or of this one as another command or other files trained it.
    """
    path = results / f"{run.name}.json"
    figures = Figures(**json.loads(path.read_text()))
    expected = run.row, fit_command(run), _files(run)
    got = figures.row, figures.command, figures.files
    if got != expected:
        raise ValueError(f"Expected {path} to hold the figures of {expected} (got those of {got})")
    return figures


def best_checkpoint(runs: Path, run: Run) -> Path:
    """The best checkpoint of a run, in the folder of the runs."""
    return runs / run.name / "checkpoints" / "best.ckpt"


def fit_command(run: Run) -> str:
    """The command that trains a run, from the repository's folder."""
    return shlex.join(["python", "main.py", "fit", *fit_arguments(run, RUNS)])


def _files(run: Run) -> str:
    return digest_files(fit_arguments(run, RUNS))


def fit_arguments(run: Run, runs: Path) -> list[str]:
    """Arguments of ``main.py fit`` for a run, but for its folder and MNIST's.

    Args:
        run: The run.
        runs: Folder of the runs, where the weights are that it starts from.
    """
    row = ROWS[run.row]
    epochs = 1 if run.search else EPOCHS
    arguments = ["--config", "configs/syncmnist/table1.yaml", "--config", f"configs/syncmnist/{row.config}.yaml"]
    arguments += [*row.arguments, "--seed_everything", str(run.seed)]
    for name, value in curriculum(run.digits, run.num_videos, run.search).items():
        arguments += [f"--data.{name}", json.dumps(value)]
    arguments += ["--data.train_videos", str(run.num_videos), "--data.epoch_videos", str(run.num_videos // epochs)]
    arguments += ["--data.test_videos", str(NUM_TEST_VIDEOS), "--data.source", "mnist"]
    if run.start is not None:
        arguments += ["--model.network_weights", str(best_checkpoint(runs, run.start))]
    return [*arguments, "--model.optimizer.lr", str(run.rate), "--trainer.max_epochs", str(epochs)]


def test_arguments(digits: int) -> list[str]:
    """Arguments of ``main.py test`` over the fit's config: the paths that are published, where some are."""
    return ["--data.test_paths", "published"] if digits == MANY else []
