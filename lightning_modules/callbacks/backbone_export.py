"""A pre-trained backbone as a file of its own."""

from pathlib import Path

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.utilities.rank_zero import rank_zero_info
from safetensors.torch import save_file

from lightning_modules.callbacks.best_checkpoint import BestCheckpoint
from lightning_modules.callbacks.run_folder import run_folder
from lightning_modules.pretrained_weights import read_weights
from rstg_pyg.models.load_pretrained import BACKBONE_PREFIXES


class BackboneExport(Callback):
    """Writes ``backbone.safetensors`` when a fit ends: of the best checkpoint, or as it is where there is none."""

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the file."""
        path = run_folder(trainer) / "backbone.safetensors"
        if not trainer.is_global_zero or trainer.fast_dev_run:
            return
        kept = (callback for callback in trainer.checkpoint_callbacks if isinstance(callback, BestCheckpoint))
        best = next((callback.best_model_path for callback in kept), "")
        weights = pl_module.backbone.state_dict()
        if best and Path(best).is_file():
            weights = read_weights(best, "best checkpoint", BACKBONE_PREFIXES)
        save_file({name: value.detach().cpu().contiguous() for name, value in weights.items()}, path)
        rank_zero_info(f"Wrote the backbone of {best or 'the last step'} to {path}")
