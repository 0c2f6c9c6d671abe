"""How fast clips are read from encoded videos."""

import importlib.util
import tempfile
from collections.abc import Callable
from functools import partial

import torch
from torch import nn
from torch.utils.data import Dataset

from benchmarks.results import Result, Row, measured, ratios
from benchmarks.settings import Settings
from benchmarks.timing import interleave
from data.video import SomethingSomethingDataModule, VideoClips
from data.video.reading import Decoder
from data.video.scenes import SceneSet, write_v1, write_v2
from data.video.something_something import Split, Version

ABOUT = """\
Clips made by one process on one core from videos as Something-Something has them: drawn scenes of 2 to 6 seconds at 12
frames a second, encoded as JPEG images 100 pixels high (version 1) and as VP9 240 pixels high (version 2), in the
system's file cache. "Reading" is decoding alone; a training clip is also resized, cropped and made brighter or darker;
a test item is all views of a video. A training keeps up when its workers together make as many clips per second as its
step takes."""

ROUNDS = 10
HEIGHTS: dict[Version, int] = {"v1": 100, "v2": 240}


def run(settings: Settings) -> Result:
    """Time reading, training clips and test items of both versions and all decoders there are, in turns."""
    num_videos = 2 if settings.quick else 16
    frames, sizes = (4, (32, 24, 24)) if settings.quick else (32, (256, 224, 256))
    decoders: dict[str, tuple[Version, Decoder]] = {"JPEG images": ("v1", "pyav"), "VP9, PyAV": ("v2", "pyav")}
    if importlib.util.find_spec("torchcodec"):
        decoders["VP9, torchcodec"] = ("v2", "torchcodec")
    with tempfile.TemporaryDirectory() as root:
        heights = dict.fromkeys(HEIGHTS, 32) if settings.quick else HEIGHTS
        write_v1(scene_sets(num_videos, heights["v1"]), root)
        write_v2(scene_sets(num_videos, heights["v2"]), root)
        contestants: dict[str, Callable[[], object]] = {}
        for name, (version, decoder) in decoders.items():
            resize, crop, eval_crop = sizes
            data = SomethingSomethingDataModule(
                root,
                version,
                num_frames=frames,
                resize=resize,
                crop=crop,
                eval_crop=eval_crop,
                decoder=decoder,
                num_workers=0,
            )
            clips = VideoClips(data.videos("train"), data.clip_sampling("train"), nn.Identity(), decoder)
            contestants[f"reading, {name}"] = on_one_core(partial(read_all, clips, num_videos))
            train, test = data.make_dataset("train"), data.make_dataset("test")
            contestants[f"training clip, {name}"] = on_one_core(partial(items, train, num_videos))
            contestants[f"test item of 22 views, {name}"] = on_one_core(partial(items, test, num_videos))
        times = interleave(contestants, settings.num_rounds(ROUNDS), settings.device, "video_data")
    table: list[Row] = [
        measured(f"{name}, one core", "videos/s", [num_videos / seconds for seconds in times[name]])
        for name in contestants
    ]
    for name in decoders:
        shares = ratios(times[f"reading, {name}"], times[f"training clip, {name}"])
        table.append(measured(f"reading's share of a training clip, {name}", "%", [100 * share for share in shares]))
    return Result("Videos from files", ABOUT, f"{num_videos} videos, clips of {frames} frames", table)


def scene_sets(number: int, height: int) -> dict[Split, SceneSet]:
    """Scenes to train and validate on; a test set is part of the layout."""
    return {
        "train": SceneSet("train", number, height),
        "val": SceneSet("val", number, height),
        "test": SceneSet("test", 1, height),
    }


def read_all(clips: VideoClips, number: int) -> None:
    """Decode the frames of clips."""
    for index in range(number):
        clips.frames(index)


def items(clips: Dataset, number: int) -> None:
    """Make whole items."""
    for index in range(number):
        clips[index]


def on_one_core(read: Callable[[], None]) -> Callable[[], None]:
    """The same with one thread of torch's, as a worker that loads data has."""

    def read_on_one_core() -> None:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            read()
        finally:
            torch.set_num_threads(threads)

    return read_on_one_core
