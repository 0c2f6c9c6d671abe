"""Learning curves of the graph over the digits' boxes beside the grid's, for docs/boxes.md.

python -m experiments.boxes --mnist DIR    train, or finish, what is not done in runs/boxes, then write docs/boxes
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

from experiments.resumable import REPOSITORY, fit, run_main

BATCH = 16
VIDEOS, EPOCHS = 40_000, 10  # each epoch ends with a validation
NUM_VAL_VIDEOS = 1_000


@dataclass(frozen=True)
class Training:
    """One training: its name in the figure, the file laid over ``table1.yaml``, further arguments."""

    title: str
    config: str
    arguments: tuple[str, ...] = ()


TRAININGS = {
    "motion": Training("boxes with motion", "boxes"),
    "places": Training("boxes without motion", "boxes", ("--model.network.graph.motion", "false")),
    "grid": Training("grid (3, 2, 1)", "positional_all_temp"),
}


def fit_arguments(training: Training, mnist: str) -> list[str]:
    """Arguments of ``main.py fit`` for a training, but for its folder."""
    folder = "configs/syncmnist"
    arguments = ["--config", f"{folder}/table1.yaml", "--config", f"{folder}/{training.config}.yaml"]
    arguments += ["--data.source", "mnist", "--data.root", mnist, "--data.val_videos", str(NUM_VAL_VIDEOS)]
    arguments += ["--data.epoch_videos", str(VIDEOS // EPOCHS), "--trainer.max_epochs", str(EPOCHS)]
    return [*arguments, "--model.optimizer.lr", "3e-3", *training.arguments]


def make_curve(training: Training, mnist: str, folder: Path) -> dict[str, list[float]]:
    """The curve of a training, which is made, or finished, first.

    Args:
        training: The training.
        mnist: Folder of the full MNIST.
        folder: The run folder.

    Raises:
        RuntimeError: If the training fails.
    """
    fit(folder, run_main, *fit_arguments(training, mnist))
    return read_curve(folder / "metrics.csv")


def read_curve(metrics: Path) -> dict[str, list[float]]:
    """Validation after every epoch, from the CSV log of a run."""
    from lightning_modules.csv_log import read_metrics

    curves = read_metrics(metrics)
    steps, accuracy = curves["val/acc"]
    return {"videos": [(step + 1) * BATCH for step in steps], "val/acc": accuracy, "val/loss": curves["val/loss"][1]}


def draw(curves: dict[str, dict[str, list[float]]], path: Path) -> None:
    """Draw validation accuracy against the videos seen."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for (name, curve), style in zip(curves.items(), ("o-", "s--", "^:"), strict=True):
        axes.plot(curve["videos"], curve["val/acc"], style, label=TRAININGS[name].title)
    axes.axhline(1 / 3, color="grey", linewidth=1)
    axes.text(
        VIDEOS, 0.38, "right where the digits are known and no motion is seen", ha="right", color="grey", fontsize=8
    )
    axes.set(xlabel="training videos seen", ylabel="validation accuracy", xlim=(0, None), ylim=(0, 1))
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)


def main() -> None:
    """Train, read the logs and write figures and picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mnist", required=True, help="Folder of the full MNIST, in torchvision's layout.")
    parser.add_argument("--runs", type=Path, default=REPOSITORY / "runs" / "boxes", help="Folder of the runs.")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "docs" / "boxes", help="Folder of what is written.")
    arguments = parser.parse_args()
    mnist, runs = str(Path(arguments.mnist).resolve()), arguments.runs.resolve()
    curves = {name: make_curve(training, mnist, runs / name) for name, training in TRAININGS.items()}
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "curves.json").write_text(json.dumps(curves, indent=1) + "\n")
    draw(curves, arguments.out / "curves.png")


if __name__ == "__main__":
    main()
