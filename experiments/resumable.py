"""What may be stopped at any moment, and is gone on with."""

import hashlib
import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

REPOSITORY = Path(__file__).parent.parent


def run_main(*arguments: str) -> None:
    """Run ``main.py`` with some arguments, its output here.

    Raises:
        RuntimeError: If it fails.
    """
    done = subprocess.run([sys.executable, "-W", "ignore", "main.py", *arguments], cwd=REPOSITORY, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"main.py {shlex.join(arguments)} stopped with {done.returncode}: see above")


def fit(folder: Path, main: Callable[..., None], *begin: str) -> None:
    """Train by ``main.py`` in a run folder, if that is not done: from the last checkpoint where there is one.

    Args:
        folder: The run folder.
        main: Runs ``main.py`` in it with some arguments.
        begin: Arguments of ``main.py fit`` for a training that begins.

    Raises:
        ValueError: If the training in the folder began with other arguments, the configs and weights that they name
            held something else then, or the folder holds something else.
    """
    fitted = folder / "fitted"
    goes_on = (folder / "checkpoints" / "last.ckpt").is_file()
    if fitted.is_file() or goes_on:
        check_begun(folder, *begin)
    elif folder.is_dir() and any(folder.iterdir()) and not (folder / "begun").is_file():
        raise ValueError(f"Expected '{folder}' to be new or of a training that began here (got other files in it)")
    if fitted.is_file():
        return
    if goes_on:
        main("fit", "--config", str(folder / "config.yaml"), "--ckpt_path", "last", "--run_dir", str(folder))
    else:
        shutil.rmtree(folder, ignore_errors=True)  # stopped before its first checkpoint
        folder.mkdir(parents=True)
        (folder / "begun").write_text(_signature(begin))
        main("fit", *begin, "--run_dir", str(folder))
    fitted.touch()


def check_begun(folder: Path, *begin: str) -> None:
    """Check what the training in a folder began with.

    Args:
        folder: Its folder.
        begin: As for :func:`fit`.

    Raises:
        ValueError: If that was something else, or is not known.
    """
    begun, arguments = folder / "begun", _signature(begin)
    other = begun.read_text() if begun.is_file() else "arguments that are not known"
    if other != arguments:
        raise ValueError(
            f"Expected the training in '{folder}' to have begun with\n{arguments}\n(got\n{other})\n"
            "Remove the folder to begin anew"
        )


def _signature(begin: Sequence[str]) -> str:
    return f"{shlex.join(begin)} # files {digest_files(begin)}"


def digest_files(arguments: Sequence[str]) -> str:
    """What the files in ``configs`` hold that arguments name, or the configs among them, as 16 hexadecimal digits.

    Comments and layout of a config do not count.

    Args:
        arguments: Arguments of ``main.py``, paths from the repository's folder.
    """
    digest, names = hashlib.sha256(), list(arguments)
    for name in names:
        path = REPOSITORY / name
        if not name.startswith("configs/") or not path.is_file():
            continue
        content = path.read_bytes()
        if path.suffix == ".yaml":
            settings = yaml.safe_load(content)
            content = json.dumps(settings, sort_keys=True).encode()
            names += _strings(settings)
        digest.update(content)
    return digest.hexdigest()[:16]


def _strings(settings: Any) -> Iterator[str]:
    """The strings among the values of a config."""
    if isinstance(settings, str):
        yield settings
    elif isinstance(settings, dict | list):
        for value in settings.values() if isinstance(settings, dict) else settings:
            yield from _strings(value)


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
