"""A pass over all videos of a data set that collects what is wrong with them, before a training finds out."""

import os
from dataclasses import dataclass
from pathlib import Path

from rich.progress import track
from torch.utils.data import DataLoader, Dataset

from data.argument_checks import check_index
from data.video.datamodules import VideoDataModule, VideoSplit
from data.video.frame_folder import FrameFolder
from data.video.pyav_file import PyAVFile
from data.video.video_error import VideoError
from data.video.video_list import VideoList

HELD_OUT: tuple[VideoSplit, ...] = ("val", "test")
CHECKED_SPLITS: tuple[VideoSplit, ...] = ("train", "val", "test", "predict")


@dataclass(frozen=True)
class Problem:
    """A video that cannot be used, or a list of videos.

    Args:
        split: The split it is in.
        id: The name that the data set gives it, or ``"list"`` of the list of all of the split's videos.
        reason: The error that reading it raises; names the file.
    """

    split: str
    id: str
    reason: str


@dataclass(frozen=True)
class DataReport:
    """What a pass over a data set found.

    Args:
        num_videos: Videos looked at, by split.
        problems: Those that cannot be used.
    """

    num_videos: dict[str, int]
    problems: list[Problem]

    def __str__(self) -> str:
        lines = [f"{problem.split} {problem.id}: {problem.reason}" for problem in self.problems]
        for split, number in self.num_videos.items():
            wrong = sum(problem.split == split for problem in self.problems)
            lines.append(f"{split}: {number:,} videos, {wrong:,} of them cannot be used")
        return "\n".join(lines)


class VideoProblems(Dataset[str]):
    """For each video the reason why it cannot be used; empty where every frame can be decoded.

    Files are decoded with PyAV, whatever the training decodes them with: it tells when a file ends early.

    Args:
        videos: The videos.
        min_frames: Frames that a video needs at least.
        threads: Threads that decode a file.
    """

    def __init__(self, videos: VideoList, min_frames: int = 1, threads: int = 1) -> None:
        self.videos = videos
        self.min_frames = min_frames
        self.threads = threads

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, index: int) -> str:
        check_index(index, len(self))
        path = self.videos.paths[index]
        try:
            with FrameFolder(path) if path.is_dir() else PyAVFile(path, self.threads) as video:
                if video.num_frames < self.min_frames:
                    return f"Expected {path} to have at least {self.min_frames} frames (got {video.num_frames})"
                video.check()
        except VideoError as error:
            return str(error)
        return ""


def check_videos(data: VideoDataModule, num_workers: int = 2) -> DataReport:
    """Decode every frame of every video of a data set once; a video in several splits is looked at once.

    A video of the validation or the test that is in the training's list, too, is reported, however its path is spelt.

    Args:
        data: The data set.
        num_workers: Processes that decode; 0 for this one.
    """
    lists: dict[VideoSplit, VideoList] = {}
    num_videos: dict[str, int] = {}
    problems: list[Problem] = []
    for split in CHECKED_SPLITS:
        try:
            lists[split] = data.videos(split)
        except (FileNotFoundError, ValueError) as error:  # missing, damaged, or without the labels that it needs
            problems.append(Problem(split, "list", str(error)))
    files = {split: [Path(os.path.realpath(path)) for path in videos.paths] for split, videos in lists.items()}
    trained_on = set(files.get("train", []))
    seen: set[Path] = set()
    for split, videos in lists.items():
        told = split == "test" and files[split] == files.get("val")
        checked = files[split] if split in HELD_OUT and not told else []
        leaked = [place for place, path in enumerate(checked) if path in trained_on]
        for place in leaked:
            why = f"Expected {videos.paths[place]} not to be in the list of train, too"
            problems.append(Problem(split, videos.ids[place], why))
        places = [place for place, path in enumerate(files[split]) if path not in seen]
        seen.update(files[split])
        if leaked or places:
            num_videos[split] = len(leaked) + len(places)
        if not places:
            continue
        new = VideoList(
            [videos.paths[place] for place in places],
            [videos.labels[place] for place in places],
            [videos.ids[place] for place in places],
            videos.class_names,
        )
        reasons = DataLoader(
            VideoProblems(new, data.clip_sampling(split).min_frames, data.decode_threads),
            batch_size=None,
            num_workers=num_workers,
        )
        found = track(reasons, description=split, total=len(new))
        problems += [Problem(split, name, why) for name, why in zip(new.ids, found, strict=True) if why]
    return DataReport(num_videos, problems)
