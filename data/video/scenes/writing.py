"""Scenes as files, in the exact layouts of Something-Something versions 1 and 2, by real encoders."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.progress import track

from data.video.scenes.actions import class_templates
from data.video.scenes.scene_set import FRAMES_PER_SECOND, SceneSet
from data.video.something_something import SPLIT_FILES, Split, without_brackets

JPEG_QUALITY = 90
VP9 = {"crf": "24", "b": "0", "deadline": "realtime", "cpu-used": "7"}
"""Constant quality; fast."""


def check_nothing_there(root: str | Path, version: Literal["v1", "v2"]) -> None:
    """Check that a folder holds no videos and no annotations of a version.

    Args:
        root: The folder that a set is to be written to.
        version: The layout.

    Raises:
        FileExistsError: If it does.
    """
    names = (f"20bn-something-something-{version}", f"something-something-{version}-*")
    there = [path.name for name in names for path in sorted(Path(root).glob(name))]
    if there:
        raise FileExistsError(f"Expected nothing of {version} in '{root}' yet (got {there}): remove it, or keep it")


def write_v1(sets: Mapping[Split, SceneSet], root: str | Path) -> None:
    """Write scenes as version 1: a folder of JPEG images a video, and CSV files.

    Args:
        sets: The scenes of ``"train"``, ``"val"`` and ``"test"``. Videos are numbered from 1 on over the three.
        root: The folder to write to; nothing of it may be there yet.

    Raises:
        FileExistsError: If there is a set already.
    """
    root = Path(root)
    check_nothing_there(root, "v1")
    videos = root / "20bn-something-something-v1"
    videos.mkdir(parents=True)
    templates = [without_brackets(template) for template in class_templates()]
    _write_lines(root / "something-something-v1-labels.csv", templates)
    for split, scenes in sets.items():
        lines = []
        for name, index in _numbered(sets, split, f"v1 {split}"):
            folder = videos / str(name)
            folder.mkdir()
            for number, frame in enumerate(scenes.scene(index).frames(), start=1):
                Image.fromarray(frame).save(folder / f"{number:05d}.jpg", quality=JPEG_QUALITY)
            template = without_brackets(scenes.template(index))
            lines.append(str(name) if split == "test" else f"{name};{template}")
        _write_lines(root / f"something-something-v1-{SPLIT_FILES[split]}.csv", lines)


def write_v2(sets: Mapping[Split, SceneSet], root: str | Path) -> None:
    """Write scenes as version 2: a WebM file a video, encoded as VP9, and JSON files.

    Args:
        sets: As for :func:`write_v1`; the same scenes have the same numbers.
        root: Likewise.

    Raises:
        FileExistsError: If there is a set already.
    """
    root = Path(root)
    check_nothing_there(root, "v2")
    videos = root / "20bn-something-something-v2"
    videos.mkdir(parents=True)
    templates = [without_brackets(template) for template in class_templates()]
    _write_json(root / "something-something-v2-labels.json", {name: str(n) for n, name in enumerate(templates)})
    for split, scenes in sets.items():
        entries = []
        for name, index in _numbered(sets, split, f"v2 {split}"):
            encode_vp9(scenes.scene(index).frames(), videos / f"{name}.webm")
            template, entry = scenes.template(index), {"id": str(name)}
            if split != "test":
                label, things = template, scenes.placeholders(index)
                for thing in things:
                    label = label.replace("[something]", thing, 1)
                entry |= {"label": label.lower(), "template": template, "placeholders": things}  # type: ignore[dict-item]
            entries.append(entry)
        _write_json(root / f"something-something-v2-{SPLIT_FILES[split]}.json", entries)


def encode_vp9(frames: NDArray[np.uint8], path: str | Path) -> None:
    """Write frames, uint8 (T, H, W, 3) with even sides, as a WebM file at 12 frames a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libvpx-vp9", rate=FRAMES_PER_SECOND, options=VP9)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
        stream.codec_context.thread_count = 1
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def _numbered(sets: Mapping[Split, SceneSet], split: Split, title: str) -> Iterator[tuple[int, int]]:
    """The number of each video of a split, over all splits, and its index in the split; with a progress bar."""
    names = list(sets)
    first = 1 + sum(len(sets[earlier]) for earlier in names[: names.index(split)])
    for index in track(range(len(sets[split])), description=title):
        yield first + index, index


def _write_lines(path: Path, lines: list[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
