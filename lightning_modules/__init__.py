"""Training: LightningModules, callbacks and the command line over ``rstg_pyg`` and ``data``."""

from lightning_modules.digit_loss import DigitLoss
from lightning_modules.digit_pretraining import DigitPretraining
from lightning_modules.video_classification import VideoClassification

__all__ = ["DigitLoss", "DigitPretraining", "VideoClassification"]
