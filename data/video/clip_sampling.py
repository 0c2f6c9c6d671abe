"""Which frames of a video make a clip: from the number of frames to their indices.

A sampling is called with the number of frames N of a video and gives int64 indices ``[T]``, or ``[S, T]`` for S clips.
Random ones draw from torch's global generator, as torchvision's transforms do.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from data.argument_checks import check_sizes


class ClipSampling(Protocol):
    """What chooses the frames of clips.

    Attributes:
        min_frames: The number of frames that a video needs at least.
    """

    min_frames: int

    def __call__(self, num_frames: int) -> Tensor:
        """Indices in [0, num_frames), int64 [T] or [S, T]."""
        ...


def uniform_indices(num_frames: int, clip_frames: int, offset: float = 0.5) -> Tensor:
    """Indices at equal distances over the whole video.

    The video is cut into `clip_frames` equal intervals, and a frame is taken at the place `offset` of each: index i is
    floor((i + offset) · num_frames / clip_frames). Videos with fewer frames than the clip give some of them twice.

    Args:
        num_frames: Frames in the video.
        clip_frames: Frames in the clip, T.
        offset: The place in the interval, in [0, 1): 0.5 is the middle; 0 is half an interval before it.
    """
    return segment_indices(num_frames, torch.full((clip_frames,), offset, dtype=torch.float64))


def segment_indices(num_frames: int, offsets: Tensor) -> Tensor:
    """One index in each of T equal segments of the video, at the segment's own offset.

    Args:
        num_frames: Frames in the video.
        offsets: The places in the segments, float64 [T] in [0, 1).
    """
    clip_frames = len(offsets)
    places = (torch.arange(clip_frames, dtype=torch.float64) + offsets) * num_frames / clip_frames
    return places.long().clamp_(max=num_frames - 1)  # an offset just below 1 may be rounded up


def dense_indices(num_frames: int, clip_frames: int, stride: int, place: float) -> Tensor:
    """Every `stride`-th frame of a part of the video.

    Args:
        num_frames: Frames in the video, at least (clip_frames - 1) · stride + 1.
        clip_frames: Frames in the clip, T.
        stride: The step between frames.
        place: Where the clip lies among the possible starts, from 0, the first, to 1, the last.
    """
    last_start = num_frames - ((clip_frames - 1) * stride + 1)
    start = min(int(place * (last_start + 1)), last_start)
    return start + stride * torch.arange(clip_frames)


class UniformSampling:
    """`clip_frames` frames at equal distances over the whole video, once for each offset.

    With the offsets (0.5, 0) the second clip is shifted by half an interval against the first; these are the paper's
    "2 samplings along the time dimension" in testing.

    Args:
        clip_frames: Frames in a clip, T; the paper has 32.
        offsets: The place in its interval that each frame is taken at, in [0, 1). One number gives indices [T], S of
            them [S, T].

    Source: Nicolicioiu, Duta and Leordeanu (NeurIPS 2019), §3.2.
    """

    min_frames = 1

    def __init__(self, clip_frames: int = 32, offsets: float | Sequence[float] = 0.5) -> None:
        check_sizes(clip_frames=clip_frames)
        every = [offsets] if isinstance(offsets, (int, float)) else list(offsets)
        if not every or not all(0 <= offset < 1 for offset in every):
            raise ValueError(f"Expected 'offsets' to be in [0, 1) (got {offsets})")
        self.clip_frames = clip_frames
        self.offsets = offsets

    def __call__(self, num_frames: int) -> Tensor:
        """Indices for a video of `num_frames` frames."""
        if isinstance(self.offsets, (int, float)):
            return uniform_indices(num_frames, self.clip_frames, self.offsets)
        return torch.stack([uniform_indices(num_frames, self.clip_frames, offset) for offset in self.offsets])

    def __repr__(self) -> str:
        return f"{type(self).__name__}(clip_frames={self.clip_frames}, offsets={self.offsets})"


class SegmentSampling:
    """A random frame of each of `clip_frames` equal segments of the video, indices [T]: the training of TSN.

    Args:
        clip_frames: Frames in a clip, T.

    Source: Wang et al., "Temporal Segment Networks" (ECCV 2016).
    """

    min_frames = 1

    def __init__(self, clip_frames: int = 32) -> None:
        check_sizes(clip_frames=clip_frames)
        self.clip_frames = clip_frames

    def __call__(self, num_frames: int) -> Tensor:
        """Indices for a video of `num_frames` frames."""
        return segment_indices(num_frames, torch.rand(self.clip_frames, dtype=torch.float64))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(clip_frames={self.clip_frames})"


class DenseSampling:
    """Every `stride`-th frame of a part of the video, as is usual on Kinetics.

    Args:
        clip_frames: Frames in a clip, T.
        stride: The step between frames.
        places: Where the clip lies among the possible ones, from 0, the first, to 1, the last. None for a random place,
            indices [T]; one number gives [T], too; S of them [S, T].
    """

    def __init__(self, clip_frames: int = 32, stride: int = 2, places: float | Sequence[float] | None = None) -> None:
        check_sizes(clip_frames=clip_frames, stride=stride)
        every = [] if places is None else [places] if isinstance(places, (int, float)) else list(places)
        if (places is not None and not every) or not all(0 <= place <= 1 for place in every):
            raise ValueError(f"Expected 'places' to be None or in [0, 1] (got {places})")
        self.clip_frames = clip_frames
        self.stride = stride
        self.places = places
        self.min_frames = (clip_frames - 1) * stride + 1

    def __call__(self, num_frames: int) -> Tensor:
        """Indices for a video of `num_frames` frames."""
        places = float(torch.rand(())) if self.places is None else self.places
        if isinstance(places, (int, float)):
            return dense_indices(num_frames, self.clip_frames, self.stride, places)
        return torch.stack([dense_indices(num_frames, self.clip_frames, self.stride, place) for place in places])

    def __repr__(self) -> str:
        return f"{type(self).__name__}(clip_frames={self.clip_frames}, stride={self.stride}, places={self.places})"
