"""What may be stopped at any moment, and is gone on with."""

import json
import shlex
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any


def fit(folder: Path, main: Callable[..., None], *begin: str) -> None:
    """Train by ``main.py`` in a run folder, if that is not done: from the last checkpoint where there is one.

    Args:
        folder: The run folder.
        main: Runs ``main.py`` in it with some arguments.
        begin: Arguments of ``main.py fit`` for a training that begins.

    Raises:
        ValueError: If the training in the folder began with other arguments.
    """
    fitted, begun, arguments = folder / "fitted", folder / "begun", shlex.join(begin)
    goes_on = (folder / "checkpoints" / "last.ckpt").is_file()
    if fitted.is_file() or goes_on:
        other = begun.read_text() if begun.is_file() else "arguments that are not known"
        if other != arguments:
            raise ValueError(
                f"Expected the training in '{folder}' to have begun with\n{arguments}\n(got\n{other})\n"
                "Remove the folder to begin anew"
            )
    if fitted.is_file():
        return
    if goes_on:
        main("fit", "--config", str(folder / "config.yaml"), "--ckpt_path", "last", "--run_dir", str(folder))
    else:
        shutil.rmtree(folder, ignore_errors=True)  # stopped before its first checkpoint
        folder.mkdir(parents=True)
        begun.write_text(arguments)
        main("fit", *begin, "--run_dir", str(folder))
    fitted.touch()


def keep(figures: Any, path: Path) -> None:
    """Write a dataclass as JSON: there is the whole file or none.

    Args:
        figures: The dataclass.
        path: The file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = path.with_suffix(".tmp")
    whole.write_text(json.dumps(asdict(figures), indent=1) + "\n")
    whole.replace(path)
