"""Something-Something, versions 1 and 2, as their official downloads unpack.

Version 1 has a folder of JPEG images a video, and CSV files of ``id;template``::

    something-something-v1-labels.csv        20bn-something-something-v1/100218/00001.jpg
    something-something-v1-train.csv         20bn-something-something-v1/100218/00002.jpg
    something-something-v1-validation.csv    …
    something-something-v1-test.csv

Version 2 has a WebM file a video, and JSON files. The download of today names them without the data set's name, in a
folder ``labels``; both names are found::

    something-something-v2-labels.json        or  labels/labels.json        20bn-something-something-v2/1.webm
    something-something-v2-train.json         or  labels/train.json         20bn-something-something-v2/2.webm
    something-something-v2-validation.json    or  labels/validation.json    …
    something-something-v2-test.json          or  labels/test.json

Source: Goyal et al., "The 'something something' video database" (ICCV 2017).
"""

import csv
import json
from collections.abc import Callable, Sequence
from io import StringIO
from pathlib import Path
from typing import Any, Literal, get_args

from data.video.annotation_text import annotation_text
from data.video.video_list import UNLABELLED, VideoList

Version = Literal["v1", "v2"]
VERSIONS: tuple[str, ...] = get_args(Version)
Split = Literal["train", "val", "test"]
SPLIT_FILES: dict[Split, str] = {"train": "train", "val": "validation", "test": "test"}


def read_something_something_classes(root: str | Path, version: Version) -> list[str]:
    """The templates by label, without brackets: of version 1 in the order of its file, of version 2 as numbered there.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it is damaged, or `version` is neither.
    """
    path = _annotation(root, version, "labels")
    if version == "v1":
        names = [row[0] for row in _read_csv(path, columns=1)]
        if len(set(names)) < len(names):
            raise ValueError(f"Expected the templates in {path} to be different ones (got {len(names)} with repeats)")
        return names
    numbers = _read_json(path, dict)
    by_number = {str(number): name for name, number in numbers.items()}
    missing = [number for number in range(len(numbers)) if str(number) not in by_number]
    if missing:
        raise ValueError(f"Expected {path} to number its templates from 0 on (got none for {missing[:10]})")
    return [by_number[str(number)] for number in range(len(numbers))]


def read_something_something(root: str | Path, version: Version, split: Split) -> VideoList:
    """The videos of a split. They are not looked at here; those of the test split have no labels.

    Args:
        root: The folder that holds the annotations and the folder of videos.
        version: ``"v1"`` or ``"v2"``.
        split: ``"train"``, ``"val"`` (the official validation) or ``"test"``.

    Raises:
        FileNotFoundError: If an annotation or the folder of videos is missing.
        ValueError: If an annotation is damaged or names an unknown template, or an argument is wrong.
    """
    if split not in SPLIT_FILES:
        raise ValueError(f"Expected 'split' to be one of {list(SPLIT_FILES)} (got {split!r})")
    class_names = read_something_something_classes(root, version)
    path = _annotation(root, version, SPLIT_FILES[split])
    videos = Path(root) / f"20bn-something-something-{version}"
    if not videos.is_dir():
        raise FileNotFoundError(f"Expected the videos in {videos}, which is no folder")
    if version == "v1":
        rows = _read_csv(path, columns=1 if split == "test" else 2)
        ids, templates = [row[0] for row in rows], [row[1] for row in rows if split != "test"]
        place: Callable[[str], Path] = lambda name: videos / name  # noqa: E731
    else:
        entries = _read_json(path, list)
        ids = [_field(entry, "id", path) for entry in entries]
        templates = [] if split == "test" else [without_brackets(_field(entry, "template", path)) for entry in entries]
        place = lambda name: videos / f"{name}.webm"  # noqa: E731
    labels = [UNLABELLED] * len(ids) if split == "test" else _labels(templates, class_names, path)
    return VideoList([place(name) for name in ids], labels, ids, class_names)


def _annotation(root: str | Path, version: str, name: str) -> Path:
    if version not in VERSIONS:
        raise ValueError(f"Expected 'version' to be one of {list(VERSIONS)} (got {version!r})")
    suffix = "csv" if version == "v1" else "json"
    paths = [Path(root) / f"something-something-{version}-{name}.{suffix}"]
    if version == "v2":
        paths.append(Path(root) / "labels" / f"{name}.json")
    for path in paths:
        if path.is_file():
            return path
    raise FileNotFoundError(
        f"Expected 'root' to hold the annotations of Something-Something {version}, "
        f"{' or '.join(map(str, paths))} (got no such file): see docs/something-something.md"
    )


def _read_csv(path: Path, columns: int) -> list[list[str]]:
    file = StringIO(annotation_text(path), newline="")
    # Templates may hold commas; those of one column may hold nothing else.
    reader = csv.reader(file, delimiter=";", quoting=csv.QUOTE_NONE)
    rows = []
    for row in reader:
        if len(row) == columns:
            rows.append(row)
        elif row:
            raise ValueError(
                f"Expected {path} to have {columns} fields a line, separated by ';' (got {len(row)} in line "
                f"{reader.line_num})"
            )
    return rows


def _read_json(path: Path, kind: type) -> Any:
    try:
        content = json.loads(annotation_text(path))
    except json.JSONDecodeError as error:
        raise ValueError(f"Expected {path} to be a whole JSON file ({error})") from error
    if not isinstance(content, kind):
        raise ValueError(f"Expected {path} to hold a {kind.__name__} (got a {type(content).__name__})")
    return content


def _field(entry: Any, name: str, path: Path) -> str:
    value = entry.get(name) if isinstance(entry, dict) else None
    if not isinstance(value, str) or not value:
        raise ValueError(f"Expected every entry of {path} to have text in the field '{name}' (got {entry})")
    return value


def without_brackets(template: str) -> str:
    """A template as the labels have it: "Pushing something" of "Pushing [something]"."""
    return template.replace("[", "").replace("]", "")


def _labels(templates: Sequence[str], class_names: Sequence[str], path: Path) -> list[int]:
    labels = {name: label for label, name in enumerate(class_names)}
    unknown = sorted(set(templates) - labels.keys())
    if unknown:
        raise ValueError(f"Expected the templates in {path} to be among the labels (got {unknown[:5]})")
    return [labels[template] for template in templates]
