"""Clips of videos, ready for a network."""

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import Dataset

from data.argument_checks import check_index, check_seed
from data.counter_rng import random_bits
from data.video.clip_sampling import ClipSampling
from data.video.reading import Decoder, open_video
from data.video.video_error import VideoError
from data.video.video_list import VideoList

STREAM_EPOCHS = 2**20


class VideoClips(Dataset[tuple[Tensor, int]]):
    r"""Clips of the videos of a split: frames chosen by a sampling, decoded, and transformed.

    Only the frames needed are decoded and transformed, each once, however many clips hold it.

    With S clips of a video and C crops of each, an item has :math:`V = C S` *views* as its leading axis, crop by crop:
    view 0 is the first crop of the first clip, which with :class:`~data.video.spatial.EvenCrops` is the centre view.

    Shapes:
        - **item:** video uint8 :math:`(T, 3, H, W)`, or :math:`(V, T, 3, H, W)` where the sampling gives
          :math:`(S, T)` indices or the transform :math:`(C, T, 3, H, W)`; label int

    Args:
        videos: The videos.
        sampling: Number of frames → indices, see :mod:`data.video.clip_sampling`.
        transform: (video uint8 [T, 3, H, W], label) → the same two, transformed; see :mod:`data.video.spatial`.
        decoder: See :func:`~data.video.reading.open_video`.
        threads: Likewise.

    Raises:
        VideoError: By an item, if its video is missing, damaged, empty or too short.
    """

    def __init__(
        self,
        videos: VideoList,
        sampling: ClipSampling,
        transform: nn.Module,
        decoder: Decoder = "auto",
        threads: int = 1,
    ) -> None:
        self.videos = videos
        self.sampling = sampling
        self.transform = transform
        self.decoder: Decoder = decoder
        self.threads = threads

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        check_index(index, len(self))
        frames, place = self.frames(index)
        video, label = self.transform(frames, self.videos.labels[index])
        clips = video.index_select(-4, place.flatten()).unflatten(-4, place.shape)  # [C, S, T, 3, H, W], or less
        num_views = clips.dim() - 4
        return (clips.flatten(0, num_views - 1) if num_views > 1 else clips), label

    def frames(self, index: int) -> tuple[Tensor, Tensor]:
        """The frames of an item, each once, uint8 [U, 3, H, W], and which of them each place of its clips shows."""
        path = self.videos.paths[index]
        with open_video(path, self.decoder, self.threads) as video:
            if video.num_frames < self.sampling.min_frames:
                raise VideoError(
                    f"Expected {path} to have at least {self.sampling.min_frames} frames (got {video.num_frames})"
                )
            needed, place = self.sampling(video.num_frames).unique(return_inverse=True)
            return video.read(needed.tolist()), place


class ShuffledClips(Dataset[tuple[Tensor, int]]):
    """An endless stream of training clips: the videos in a new order every epoch, with new random draws.

    Item `position` is a pure function of (seed, position): epoch ``position // len(clips)`` has an order of its own, a
    pure function of (seed, epoch), and the sampling and the transform draw from a generator seeded by the position. So
    a :class:`~data.StreamLoader` goes on in the middle of an epoch, and neither workers nor processes change a clip.

    Args:
        clips: The clips.
        seed: The seed, in [0, 2^64).
    """

    def __init__(self, clips: VideoClips, seed: int = 0) -> None:
        check_seed(seed)
        self.clips = clips
        self.seed = seed

    def __len__(self) -> int:
        return len(self.clips) * STREAM_EPOCHS

    def index(self, position: int) -> int:
        """Which video is at a position of the stream."""
        epoch, place = divmod(position, len(self.clips))
        return int(shuffled(self.seed, epoch, len(self.clips))[place])

    def __getitem__(self, position: int) -> tuple[Tensor, int]:
        check_index(position, len(self))
        bits = int(random_bits(self.seed, "video/augmentation", [position], 0)[0])
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(bits >> 1)
            return self.clips[self.index(position)]


@lru_cache(maxsize=4)
def shuffled(seed: int, epoch: int, length: int) -> NDArray[np.int64]:
    """The order of an epoch, a permutation of 0..length - 1 and a pure function of the arguments."""
    return np.argsort(random_bits(seed, "video/order", [epoch], np.arange(length))[0], kind="stable")
