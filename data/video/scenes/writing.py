"""Scenes as files, in the exact layouts of Something-Something versions 1 and 2, by real encoders."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

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


def write_v1(sets: Mapping[Split, SceneSet], root: str | Path) -> None:
    """Write scenes as version 1: a folder of JPEG images a video, and CSV files.

    Args:
        sets: The scenes of ``"train"``, ``"val"`` and ``"test"``. Videos are numbered from 1 on over the three.
        root: The folder to write to; nothing of it may be there yet.

    Raises:
        FileExistsError: If there is a set already.
    """
    root = Path(root)
    videos = _new_folder(root / "20bn-something-something-v1")
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
    videos = _new_folder(root / "20bn-something-something-v2")
    templates = [without_brackets(template) for template in class_templates()]
    _write_json(root / "something-something-v2-labels.json", {name: str(n) for n, name in enumerate(templates)})
    for split, scenes in sets.items():
        entries = []
        for name, index in _numbered(sets, split, f"v2 {split}"):
            scene = scenes.scene(index)
            encode_vp9(scene.frames(), videos / f"{name}.webm")
            template, entry = scenes.template(index), {"id": str(name)}
            if split != "test":
                things = [f"a {shape}" for shape in scene.shapes[: template.count("[something]")]]
                label = template
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


def _new_folder(folder: Path) -> Path:
    if folder.exists():
        raise FileExistsError(f"Expected to make the folder {folder}, which is there already: remove it, or keep it")
    folder.mkdir(parents=True)
    return folder


def _write_lines(path: Path, lines: list[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
