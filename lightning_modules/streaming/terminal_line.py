"""The scores on the terminal."""

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from lightning_modules.streaming.scored_frame import ScoredFrame


class TerminalLine:
    """One line that follows the stream, or a line a frame where the output is no terminal.

    Args:
        class_names: The name of every class.
        console: Where to; None is the standard output.
    """

    def __init__(self, class_names: Sequence[str], console: Console | None = None) -> None:
        self.class_names = class_names
        self.console = console or Console(highlight=False, soft_wrap=True)
        self._live = Live(console=self.console, auto_refresh=False) if self.console.is_terminal else None

    def write(self, scored: ScoredFrame) -> None:
        """Show a frame's scores."""
        scores = "  ".join(f"{name} {share:6.1%}" for name, share in scored.likeliest(self.class_names))
        line = Text(
            f"frame {scored.frame.number:6d}  {scored.frame.time:8.2f} s  {scores}  {1e3 * scored.latency:6.1f} ms  "
            f"{scored.dropped} dropped"
        )
        if self._live is not None:
            self._live.update(line, refresh=True)
        else:
            self.console.print(line)

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        if self._live is not None:
            self._live.stop()
