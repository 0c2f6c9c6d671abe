"""The learning curve of a run, drawn from its CSV log."""

from pathlib import Path

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import CSVLogger

from lightning_modules.callbacks.run_folder import run_folder
from lightning_modules.csv_log import Curve, read_metrics


class LearningCurve(Callback):
    """Draws loss and accuracy against the training step as ``learning_curve.png`` when a fit ends."""

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the figure."""
        folder = run_folder(trainer)
        logs = [Path(logger.log_dir) / "metrics.csv" for logger in trainer.loggers if isinstance(logger, CSVLogger)]
        if trainer.is_global_zero and logs and logs[0].is_file():
            draw_learning_curve(read_metrics(logs[0]), folder / "learning_curve.png")


def draw_learning_curve(curves: dict[str, Curve], path: Path) -> None:
    """Draw ``*/loss`` and ``*/acc*`` side by side."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    for axes, quantity in zip(figure.subplots(1, 2), ("loss", "acc"), strict=True):
        for name in sorted(curves):
            if name.split("/")[-1].startswith(quantity):
                axes.plot(*curves[name], label=name, marker="." if name.startswith("val/") else None)
        axes.set(xlabel="training step", ylabel={"loss": "loss", "acc": "accuracy"}[quantity])
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend()
    figure.savefig(path, dpi=120)
