"""Datasets and LightningDataModules of the application. Nothing here knows a model."""

from data.batches import collate_stacked
from data.datamodules import PlacedDigitsDataModule, SyncMNISTDataModule
from data.digits import DigitImages
from data.pair_labels import NO_PAIR, NUM_CLASSES, class_names, label_to_pair, pair_to_label
from data.placed_digits import PlacedDigits
from data.stream import StreamLoader, StreamSampler
from data.sync_paths import PUBLISHED_TEST_PATHS, SyncPaths
from data.syncmnist import SyncMNIST
from data.video import SomethingSomethingDataModule, VideoError, VideoFolderDataModule

__all__ = [
    "NO_PAIR",
    "NUM_CLASSES",
    "PUBLISHED_TEST_PATHS",
    "DigitImages",
    "PlacedDigits",
    "PlacedDigitsDataModule",
    "SomethingSomethingDataModule",
    "StreamLoader",
    "StreamSampler",
    "SyncMNIST",
    "SyncMNISTDataModule",
    "SyncPaths",
    "VideoError",
    "VideoFolderDataModule",
    "class_names",
    "collate_stacked",
    "label_to_pair",
    "pair_to_label",
]
