"""A look at every video before a training is started."""

import sys
from pathlib import Path

import yaml
from jsonargparse import ArgumentParser

from data.video import VideoDataModule
from data.video.data_check import check_videos


def check_data(config: Path, num_workers: int = 2) -> None:
    """Decode every video of a data set once, and report all that are missing, damaged, empty or too short.

    So are lists of videos that are missing, damaged, or leave a video without the label that it needs; the videos of
    the others are decoded all the same. And so are videos of the validation or the test that are trained on, too. Ends
    with status 1 if there are any.

    Args:
        config: YAML file with a section data, such as a run's config.yaml or what fit --print_config shows.
        num_workers: Processes that decode; 0 for this one.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it has no such section, or that one is no data set of video files.
    """
    if not config.is_file():
        raise FileNotFoundError(f"Expected 'config' to be a YAML file (got '{config}', which is no file)")
    section = (yaml.safe_load(config.read_text()) or {}).get("data")
    if section is None:
        raise ValueError(f"Expected 'config' to be a YAML file with a section data (got '{config}' without)")
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(VideoDataModule, "data", required=True)
    try:
        data = parser.parse_object({"data": section})
    except Exception as error:
        raise ValueError(
            f"Expected the section data of '{config}' to be a data set of video files ({error})"
        ) from error
    report = check_videos(parser.instantiate_classes(data).data, num_workers)
    print(report)
    if report.problems:
        sys.exit(1)
