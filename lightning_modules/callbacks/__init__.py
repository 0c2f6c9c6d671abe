"""Callbacks: what a run shows and leaves in its folder."""

from lightning_modules.callbacks.accuracy_within_pairs import AccuracyWithinPairs
from lightning_modules.callbacks.attention_figure import AttentionFigure
from lightning_modules.callbacks.backbone_export import BackboneExport
from lightning_modules.callbacks.best_checkpoint import BestCheckpoint
from lightning_modules.callbacks.comparison import Comparison
from lightning_modules.callbacks.confusion_figure import ConfusionFigure
from lightning_modules.callbacks.last_checkpoint import LastCheckpoint
from lightning_modules.callbacks.learning_curve import LearningCurve
from lightning_modules.callbacks.prediction_writer import PredictionWriter
from lightning_modules.callbacks.step_seed import StepSeed
from lightning_modules.callbacks.throughput import Throughput

__all__ = [
    "AccuracyWithinPairs",
    "AttentionFigure",
    "BackboneExport",
    "BestCheckpoint",
    "Comparison",
    "ConfusionFigure",
    "LastCheckpoint",
    "LearningCurve",
    "PredictionWriter",
    "StepSeed",
    "Throughput",
]
