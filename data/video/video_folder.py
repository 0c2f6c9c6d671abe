"""Videos of one's own: a folder for each class, or a CSV file."""

import csv
import os
from collections.abc import Collection, Sequence
from io import StringIO
from pathlib import Path

from data.video.annotation_text import annotation_text
from data.video.frame_folder import IMAGE_SUFFIXES
from data.video.video_list import UNLABELLED, VideoList

VIDEO_SUFFIXES = (
    ".3g2", ".3gp", ".asf", ".avi", ".f4v", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg",
    ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv", ".y4m",
)  # fmt: skip
NOTE_SUFFIXES = (".csv", ".db", ".ini", ".json", ".md", ".txt", ".xml")
"""Files left alone beside videos: lists, notes, and what file managers leave."""


def read_video_folder_classes(source: str | Path) -> list[str]:
    """The names of the classes, sorted: the folders in a folder, or the labels in a CSV file.

    Raises:
        FileNotFoundError: If there is no such folder or file.
        ValueError: If there are no classes, or videos beside them, or a CSV file is not in UTF-8 or a
            line of it damaged.
    """
    source = _existing(source)
    if source.is_dir():
        names = sorted(folder.name for folder in _class_folders(source))
    else:
        names = sorted({label for _, label in _read_csv(source) if label})
    if not names:
        raise ValueError(f"Expected {source} to hold classes (got none)")
    return names


def read_video_folder(source: str | Path, class_names: Sequence[str], needs_labels: bool = True) -> VideoList:
    """The videos of a split, sorted by their paths.

    Args:
        source: A folder ``<source>/<class>/<video>``, in which a video is a file (``.mp4``, ``.webm``, …) or a folder
            with an image for each frame; or a CSV file with the columns ``path`` (relative to the file, or absolute)
            and ``label``, the name of the class; spaces around fields, and the case of the columns' names, do not
            count. Without the column, or with an empty field, a video has no label. In a folder, hidden entries and
            notes (:data:`NOTE_SUFFIXES`) are left alone; what a CSV file names is taken as a video.
        class_names: The names of the classes by label; `source` need not have videos of all.
        needs_labels: Whether the videos of a folder have to be in those of classes. Otherwise a video file in `source`
            itself, or a folder of images that is not named after a class, is a video without a label.

    Raises:
        FileNotFoundError: If there is no such folder or file.
        ValueError: If there are no videos, a class is unknown, a video is of two classes or beside them, a file is
            neither a video nor a note, or a CSV file is not in UTF-8 or has a line without a path or with more fields
            than there are columns.
    """
    source = _existing(source)
    if source.is_dir():
        beside = set() if needs_labels else _videos_beside(source, class_names)
        folders = _class_folders(source, beside)
        videos = [(path, folder.name) for folder in folders for path in _videos_in(folder, source)]
        videos += [(path, "") for path in beside]
    else:
        videos = [(source.parent / path, label) for path, label in _read_csv(source)]
    videos.sort()
    labels = {"": UNLABELLED} | {name: label for label, name in enumerate(class_names)}
    unknown = sorted({name for _, name in videos} - labels.keys())
    if unknown:
        raise ValueError(f"Expected the classes in {source} to be among {list(class_names)} (got {unknown})")
    classes: dict[str, str] = {}
    for path, name in videos:
        other = classes.setdefault(os.path.normpath(path), name)
        if other != name:
            raise ValueError(
                f"Expected {source} to have one class for each video (got {other!r} and {name!r} for {path})"
            )
    if not videos:
        raise ValueError(f"Expected {source} to hold videos in folders named after their classes (got none)")
    root = source if source.is_dir() else source.parent
    ids = [str(path.relative_to(root) if path.is_relative_to(root) else path) for path, _ in videos]
    return VideoList([path for path, _ in videos], [labels[name] for _, name in videos], ids, class_names)


def _existing(source: str | Path) -> Path:
    if not Path(source).exists():
        raise FileNotFoundError(f"Expected {source} to be a folder of classes or a CSV file (got no such thing)")
    return Path(source)


def _visible(folder: Path) -> list[Path]:
    return [entry for entry in folder.iterdir() if not entry.name.startswith(".")]


def _videos_beside(source: Path, class_names: Sequence[str]) -> set[Path]:
    """The videos in a folder of the classes' folders itself; an empty folder is one whose images are missing."""
    entries = _visible(source)
    videos = {
        entry
        for entry in entries
        if (_is_video(entry) if not entry.is_dir() else entry.name not in class_names and not _holds_videos(entry))
    }
    if videos:
        _check_files(entries, source)
    return videos


def _holds_videos(folder: Path) -> bool:
    return any(entry.is_dir() or _is_video(entry) for entry in _visible(folder))


def _is_video(path: Path) -> bool:
    return path.suffix.lower() in VIDEO_SUFFIXES


def _class_folders(source: Path, beside: Collection[Path] = ()) -> list[Path]:
    """The folders of classes in a folder, in which only the videos of `beside` may be without a class."""
    entries = [entry for entry in _visible(source) if entry not in beside]
    videos = [entry for entry in entries if _is_video(entry) and not entry.is_dir()]
    if videos:
        raise ValueError(
            f"Expected {source} to be laid out as <class>/<video> (got the video {min(videos)} beside the classes)"
        )
    return [entry for entry in entries if entry.is_dir()]


def _videos_in(folder: Path, source: Path) -> list[Path]:
    entries = _visible(folder)
    images = [entry for entry in entries if entry.suffix.lower() in IMAGE_SUFFIXES]
    if images:
        raise ValueError(
            f"Expected {source} to be laid out as <class>/<video>, with the frames of a video in a folder of its own "
            f"(got the image {images[0]})"
        )
    _check_files(entries, folder)
    return [entry for entry in entries if entry.is_dir() or _is_video(entry)]


def _check_files(entries: Sequence[Path], folder: Path) -> None:
    known = (*VIDEO_SUFFIXES, *NOTE_SUFFIXES)
    others = sorted(entry.name for entry in entries if not entry.is_dir() and entry.suffix.lower() not in known)
    if others:
        raise ValueError(
            f"Expected {folder} to hold videos ({', '.join(VIDEO_SUFFIXES)}), folders of images and notes "
            f"({', '.join(NOTE_SUFFIXES)}) alone (got {others[:10]})"
        )


def _read_csv(path: Path) -> list[tuple[str, str]]:
    reader = csv.DictReader(StringIO(annotation_text(path), newline=""), skipinitialspace=True)
    columns = [name.strip().lower() for name in reader.fieldnames or []]
    if columns.count("path") != 1 or columns.count("label") > 1:
        raise ValueError(
            f"Expected {path} to begin with a line of its columns, 'path' among them, 'label' too (got {columns})"
        )
    reader.fieldnames = columns
    videos = []
    for row in reader:
        name, label = (row.get(column) or "" for column in ("path", "label"))
        if None in row or not name.strip():
            raise ValueError(
                f"Expected every line of {path} to have a path, and fields for its columns {columns} alone (got "
                f"{list(row.values())} in line {reader.line_num})"
            )
        videos.append((name.strip(), label.strip()))
    return videos
