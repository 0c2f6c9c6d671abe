"""What a test reached, beside what is known."""

from collections.abc import Mapping

from pytorch_lightning import Callback, LightningModule, Trainer

from lightning_modules.callbacks.run_folder import run_folder


class Comparison(Callback):
    """Prints a test's accuracy beside reference points, and writes them to ``comparison.txt``.

    Args:
        references: Accuracy of each reference point, by name.
    """

    def __init__(self, references: Mapping[str, float]) -> None:
        super().__init__()
        self.references = dict(references)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print and write the figures."""
        folder = run_folder(trainer)
        if not trainer.is_global_zero or trainer.fast_dev_run:
            return
        rows = [("this model", trainer.callback_metrics["test/acc"].item()), *self.references.items()]
        text = "\n".join(f"{100 * accuracy:5.1f} %  {name}" for name, accuracy in rows)
        (folder / "comparison.txt").write_text(f"{text}\n")
        print(f"\nTest accuracy\n{text}\n")
