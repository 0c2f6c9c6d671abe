"""A training by ``main.py`` in its own folder: begun or gone on with, and tested."""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Training:
    """A run folder, and how ``main.py`` is called for it.

    Args:
        folder: The run folder.
        arguments: Further arguments of every call.
    """

    folder: Path
    arguments: tuple[str, ...] = ()

    def fit(self, *arguments: str) -> None:
        """Train, if that is not done: from the last checkpoint where there is one.

        Args:
            arguments: What a training that begins is given.

        Raises:
            RuntimeError: If it fails.
        """
        if (self.folder / "fitted").is_file():
            return
        if self.last_checkpoint.is_file():
            self._main("fit", "--config", str(self.folder / "config.yaml"), "--ckpt_path", "last")
        else:
            shutil.rmtree(self.folder, ignore_errors=True)  # stopped before its first checkpoint
            self._main("fit", *arguments)
        (self.folder / "fitted").touch()

    def test(self) -> None:
        """Test the last checkpoint.

        Raises:
            RuntimeError: If it fails.
        """
        self._main("test", "--config", str(self.folder / "config.yaml"), "--ckpt_path", "last")

    @property
    def last_checkpoint(self) -> Path:
        """The checkpoint that is tested, and gone on from."""
        return self.folder / "checkpoints" / "last.ckpt"

    def _main(self, *arguments: str) -> None:
        command = [sys.executable, "main.py", *arguments, "--run_dir", str(self.folder), *self.arguments]
        done = subprocess.run(command, cwd=REPOSITORY, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{self.folder.name} stopped with {done.returncode}: see above")
