"""Videos from files: reading, choosing frames and crops, data sets."""

from data.video.clip_sampling import DenseSampling, SegmentSampling, UniformSampling
from data.video.clips import ShuffledClips, VideoClips
from data.video.data_check import DataReport, check_videos
from data.video.datamodules import SomethingSomethingDataModule, VideoDataModule, VideoFolderDataModule
from data.video.mirroring import mirrored_labels
from data.video.reading import open_video
from data.video.something_something import read_something_something, read_something_something_classes
from data.video.video_error import VideoError
from data.video.video_folder import read_video_folder, read_video_folder_classes
from data.video.video_list import UNLABELLED, VideoList

__all__ = [
    "UNLABELLED",
    "DataReport",
    "DenseSampling",
    "SegmentSampling",
    "ShuffledClips",
    "SomethingSomethingDataModule",
    "UniformSampling",
    "VideoClips",
    "VideoDataModule",
    "VideoError",
    "VideoFolderDataModule",
    "VideoList",
    "check_videos",
    "mirrored_labels",
    "open_video",
    "read_something_something",
    "read_something_something_classes",
    "read_video_folder",
    "read_video_folder_classes",
]
