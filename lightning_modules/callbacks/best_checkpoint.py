"""The checkpoint with the best validation."""

from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.callbacks import ModelCheckpoint


class BestCheckpoint(ModelCheckpoint):
    """Knows the best checkpoint so far also where the run's folder was moved, or is spelt in another way.

    Lightning's own compares the folders' names, and where they differ writes the next checkpoint over the best one,
    whatever it is worth. Neither does it know of one that was written after what a fit goes on from, as by the
    validation of a fit that ends in mid-epoch.
    """

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from the files in the folder, if they are there."""
        assert self.dirpath is not None
        best = Path(self.dirpath, f"{self.filename}{self.FILE_EXTENSION}")
        if best.is_file():
            state_dict = torch.load(best, mmap=True, weights_only=True)["callbacks"].get(self.state_key, state_dict)
        here = {path: str(Path(self.dirpath, Path(path).name)) for path in state_dict["best_k_models"]}
        if here and all(Path(path).is_file() for path in here.values()):
            scores = {here[path]: score for path, score in state_dict["best_k_models"].items()}
            paths = ("best_model_path", "kth_best_model_path", "last_model_path")
            state_dict = {
                **state_dict,
                **{name: here.get(state_dict[name], state_dict[name]) for name in paths},
                "dirpath": self.dirpath,
                "best_k_models": scores,
            }
        super().load_state_dict(state_dict)
