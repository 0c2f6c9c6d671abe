"""The rows of the table: one training each, tested with one view and with all."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from experiments.resumable import check_begun, fit, keep, run_main

TITLES = {
    "c2d": "C2D",
    "c2d_to_vec": "C2D + RSTG-to-vec",
    "i3d": "I3D",
    "i3d_to_map_res3_res4": "I3D + RSTG-to-map res3-4",
    "non_local": "Non-Local I3D",
}
"""Rows by the names of their files in ``configs/scenes``."""
DEMO = ("c2d", "c2d_to_vec")
TRAIN_VIDEOS, VAL_VIDEOS = 2000, 400


@dataclass(frozen=True)
class Figures:
    """What a row gave. Accuracies are those of the last checkpoint on the validation videos.

    Args:
        row: Key of the row.
        videos: Videos seen at each validation.
        accuracy: Validation accuracy then.
        accuracy_within_pairs: The same, of the two classes of a pair alone.
        views: Accuracy of a test with all views.
        views_within_pairs: The same within pairs.
        center_view: Accuracy of the centre view.
        center_view_within_pairs: The same within pairs.
        videos_per_s: Median speed of the training.
        minutes: All videos seen, at that speed.
        parameters: Number of parameters.
        multiply_adds: Multiply-adds of one clip, forward.
        processor: The kind of machine.
        command: The command that trains it.
    """

    row: str
    videos: list[int]
    accuracy: list[float]
    accuracy_within_pairs: list[float]
    views: float
    views_within_pairs: float
    center_view: float
    center_view_within_pairs: float
    videos_per_s: float
    minutes: float
    parameters: int
    multiply_adds: int
    processor: str
    command: str


def make_scenes(root: Path, train: int = TRAIN_VIDEOS, val: int = VAL_VIDEOS, height: int = 96) -> None:
    """Draw and encode the videos, if they are not there.

    Args:
        root: Their folder.
        train: Training videos.
        val: Validation videos.
        height: Height of the frames in pixels.
    """
    if root.is_dir():
        return
    from data.video.scenes import SceneSet, write_v1

    part = root.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)  # stopped in the middle
    sizes = {"train": train, "val": val, "test": 8}
    write_v1({split: SceneSet(split, number, height) for split, number in sizes.items()}, part)  # type: ignore[arg-type,misc]
    part.rename(root)


def fit_arguments(row: str) -> list[str]:
    """Arguments of ``main.py fit`` for a row, but for its folder and the videos'."""
    return ["--config", "configs/scenes/base.yaml", "--config", f"configs/scenes/{row}.yaml"]


def kept_row(row: str, runs: Path, arguments: Sequence[str] = ()) -> Figures | None:
    """Figures of a row that was made, None if it was not; arguments and errors as for :func:`make_row`."""
    kept = runs / row / "figures.json"
    if not kept.is_file():
        return None
    check_begun(runs / row, *_begin(row, runs, arguments))
    return Figures(**json.loads(kept.read_text()))


def make_row(row: str, runs: Path, arguments: Sequence[str] = ()) -> Figures:
    """Figures of a row: read where they are kept, else the row is trained, or finished, and tested first.

    Args:
        row: Key of the row.
        runs: Folder of the runs and of the videos, ``scenes``.
        arguments: Further arguments of the fit.

    Raises:
        RuntimeError: If the training or the test fails.
        ValueError: If the training was of other arguments or configs.
    """
    folder = runs / row
    fit(folder, run_main, *_begin(row, runs, arguments))
    figures = kept_row(row, runs, arguments)
    if figures is None:
        run_main("test", "--config", str(folder / "config.yaml"), "--ckpt_path", "last", "--run_dir", str(folder))
        figures = collect(row, folder)
        keep(figures, folder / "figures.json")
    return figures


def _begin(row: str, runs: Path, arguments: Sequence[str]) -> list[str]:
    return [*fit_arguments(row), "--data.root", str(runs / "scenes"), *arguments]


def collect(row: str, folder: Path) -> Figures:
    """Figures of a run that was tested."""
    import torch

    from benchmarks.settings import processor_name
    from data import SomethingSomethingDataModule
    from lightning_modules import VideoClassification
    from lightning_modules.csv_log import read_metrics
    from rstg_pyg import summary

    checkpoint = folder / "checkpoints" / "last.ckpt"
    data = SomethingSomethingDataModule.load_from_checkpoint(checkpoint, map_location="cpu")
    logged, tested = (read_metrics(folder / log) for log in ("metrics.csv", "test/metrics.csv"))
    network = VideoClassification.load_from_checkpoint(checkpoint, map_location="cpu").network
    cost = summary(network, torch.zeros(1, data.num_frames, 3, data.frame_size, data.frame_size))
    videos = [data.batch_size * (step + 1) for step in logged["val/acc"][0]]
    videos_per_s = median(logged["train/videos_per_s"][1])
    return Figures(
        row,
        videos,
        logged["val/acc"][1],
        logged["val/acc_within_pairs"][1],
        tested["test/acc"][1][-1],
        tested["test/acc_within_pairs"][1][-1],
        tested["test/center_view_acc"][1][-1],
        tested["test/center_view_acc_within_pairs"][1][-1],
        videos_per_s,
        videos[-1] / videos_per_s / 60,
        cost.parameters,
        cost.multiply_adds,
        f"{processor_name()}, {torch.get_num_threads()} threads",
        " ".join(["python", "main.py", "fit", *fit_arguments(row)]),
    )
