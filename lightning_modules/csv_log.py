"""The CSV log of a run: written, gone on with, read."""

import csv
from collections import defaultdict
from pathlib import Path

from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.utilities.rank_zero import rank_zero_only

Curve = tuple[list[int], list[float]]


def csv_logger(folder: Path, resumed_step: int | None = None) -> CSVLogger:
    """Log to ``metrics.csv`` in a folder.

    Args:
        folder: The run's folder.
        resumed_step: For a run that goes on, the step it goes on from: earlier rows stay in the file, which the logger
            alone would start anew.
    """
    logger = CSVLogger(folder, name="", version="", flush_logs_every_n_steps=1)
    path = folder / "metrics.csv"
    if resumed_step is not None and rank_zero_only.rank == 0 and path.is_file():
        rows = [row for row in _whole_rows(path) if int(row["step"]) < resumed_step]
        logger.experiment.metrics.extend(rows)  # the first use of `experiment` deletes the file
        logger.save()
    return logger


def read_metrics(path: Path) -> dict[str, Curve]:
    """Read a CSV log: the steps and values of each metric."""
    curves: dict[str, Curve] = defaultdict(lambda: ([], []))
    for row in _whole_rows(path):
        for name, value in row.items():
            if name not in ("step", "epoch") and value:
                curves[name][0].append(int(row["step"]))
                curves[name][1].append(float(value))
    return dict(curves)


def _whole_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a log, but for one at its end that a killed run has not finished."""
    *rows, _ = path.read_text().split("\n")
    return list(csv.DictReader(rows))
