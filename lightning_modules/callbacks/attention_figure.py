"""The attention of the graph over a test clip."""

from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import TensorBoardLogger

from lightning_modules.batch_checks import to_unit_range
from lightning_modules.callbacks.run_folder import run_folder


class AttentionFigure(Callback):
    """Draws a clip of the first test batch with the attention of its graph as ``attention.png``, and to TensorBoard.

    The clip is the first one classified right, or the first of all. Behind a backbone that pools over time each step of
    the graph shows the first of its frames; frames of neither one nor three channels are left white. The graph is
    ``network.graph``, whatever others are in the backbone; networks without one, or without messages in it, are left
    alone.
    """

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Draw the figure after the first batch."""
        network = getattr(pl_module, "network", None)
        graph = getattr(network, "graph", None)
        if batch_idx > 0 or dataloader_idx > 0 or trainer.fast_dev_run or not hasattr(graph, "pyramid"):
            return
        folder = run_folder(trainer)
        if not trainer.is_global_zero:
            return
        from rstg_pyg.viz import draw_attention, record
        from rstg_pyg.viz.record import first_frames

        video, label = batch
        with trainer.precision_plugin.forward_context(), record(graph) as rec:
            # Of several views the first, the centre one.
            video = to_unit_range(video[:, 0] if video.dim() == 6 else video)
            logits = network(video)
        if rec.attention.numel() == 0:
            return
        if video.size(2) in (1, 3):
            rec.video = first_frames(video.cpu(), rec.attention.size(1), network)
        predicted = logits.argmax(dim=-1)
        clip = int((predicted == label).int().argmax())
        names = getattr(trainer.datamodule, "class_names", range(logits.size(-1)))
        title = f"label {names[label[clip]]}, predicted {names[predicted[clip]]}"
        figure = draw_attention(rec, clip=clip, title=title.replace("$", r"\$"))  # names, no formulas
        figure.savefig(folder / "attention.png", dpi=120)
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_figure("test/attention", figure, trainer.global_step)
