"""What may be stopped at any moment, and is gone on with."""

import json
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
    """
    if (folder / "fitted").is_file():
        return
    if (folder / "checkpoints" / "last.ckpt").is_file():
        main("fit", "--config", str(folder / "config.yaml"), "--ckpt_path", "last", "--run_dir", str(folder))
    else:
        shutil.rmtree(folder, ignore_errors=True)  # stopped before its first checkpoint
        main("fit", *begin, "--run_dir", str(folder))
    (folder / "fitted").touch()


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
