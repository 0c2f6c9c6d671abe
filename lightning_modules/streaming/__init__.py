"""What a streamed video's scores become: a line on the terminal, a table, an annotated video."""

from lightning_modules.streaming.annotated_video import AnnotatedVideo
from lightning_modules.streaming.scored_frame import ScoredFrame
from lightning_modules.streaming.scores_file import ScoresFile
from lightning_modules.streaming.terminal_line import TerminalLine

__all__ = ["AnnotatedVideo", "ScoredFrame", "ScoresFile", "TerminalLine"]
