"""The attention of a clip's graph as a moving picture, GIF or MP4."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch_geometric.data import Data

from rstg_pyg.viz.attention import attention_of, show_attention
from rstg_pyg.viz.canvas import SCALE_COLOURS, frames_of, regions_of
from rstg_pyg.viz.record import Record, as_record

FORMATS = (".gif", ".mp4")
DPI = 120
TOP_CLASSES = 5
LINE_LENGTH = 18  # of names of classes beside the graph


def write_attention_movie(
    source: Record | Tensor | Data,
    path: str | Path,
    model: nn.Module | None = None,
    *,
    clip: int = 0,
    node: int | None = None,
    iteration: int | None = None,
    frames_per_second: int = 4,
) -> Path:
    """Write who listens to whom in a clip as a GIF or MP4: the upper row of ``draw_attention``, frame after frame.

    Where the record has scores, the five classes that are likeliest at the end are shown beside it.

    Args:
        source: A record, or the clip or data that ``model`` runs; see :func:`~rstg_pyg.viz.record.as_record`.
        path: File to write, ``.gif`` or ``.mp4`` (H.264; needs PyAV: ``pip install av``).
        model: The model; None beside a record.
        clip: Number of the clip.
        node: The one listener to draw; None draws all.
        iteration: The space stage to draw; None averages over all.
        frames_per_second: Speed.

    Returns:
        The path.

    Raises:
        ValueError: If the name ends in neither, ``frames_per_second`` is not positive, the record has no regions or no
            messages, or there is no such node or iteration.
        IndexError: If there is no such clip.
        ImportError: If an MP4 is asked for and PyAV is not installed.
    """
    path = Path(path)
    if path.suffix not in FORMATS:
        raise ValueError(f"Expected 'path' to end in one of {list(FORMATS)} (got {str(path)!r})")
    if frames_per_second < 1:
        raise ValueError(f"Expected 'frames_per_second' to be positive (got {frames_per_second})")
    write = _write_gif if path.suffix == ".gif" else _mp4_writer()
    write(path, _pictures(as_record(source, model), clip, node, iteration), frames_per_second)
    return path


def _pictures(rec: Record, clip: int, node: int | None, iteration: int | None) -> Iterator[NDArray[np.uint8]]:
    """RGB pictures ``[H, W, 3]``, one a frame, of even height and width."""
    video, (box, scale) = frames_of(rec, clip), regions_of(rec)
    attention = attention_of(rec, clip, node, iteration)
    strength = attention / attention.abs().max().clamp(min=1e-6)
    shares = None if rec.scores is None else rec.scores[clip].float().softmax(dim=-1)
    for t, frame in enumerate(video):
        widths = [3.2] if shares is None else [3.2, 1.8]
        figure = Figure(figsize=(sum(widths), 3.4), dpi=DPI, layout="constrained")
        panels = figure.subplots(1, len(widths), squeeze=False, width_ratios=widths)[0]
        show_attention(panels[0], frame, strength[t], rec.edge_index, box, scale, node, marker=6)
        panels[0].set_title(f"t = {t}", fontsize=9)
        if shares is not None:
            _show_shares(panels[1], shares, t, rec.class_names)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        picture = np.asarray(canvas.buffer_rgba())[..., :3]
        yield picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2]


def _show_shares(axis: Any, shares: Tensor, t: int, class_names: tuple[str, ...]) -> None:
    likeliest = shares[-1].topk(min(TOP_CLASSES, shares.size(1))).indices.tolist()
    places, names = range(len(likeliest)), [fill(class_names[c], LINE_LENGTH) for c in likeliest]
    axis.barh(places, shares[t, likeliest].tolist(), color=SCALE_COLOURS[4])
    axis.set(xlim=(0, 1), xticks=[0, 1], xlabel="probability")
    axis.set_yticks(places, names, parse_math=False)
    axis.invert_yaxis()
    axis.tick_params(labelsize=8, length=0)
    axis.spines[["top", "right"]].set_visible(False)


def _write_gif(path: Path, pictures: Iterable[NDArray[np.uint8]], frames_per_second: int) -> None:
    first, *rest = map(Image.fromarray, pictures)
    first.save(path, save_all=True, append_images=rest, duration=1000 // frames_per_second, loop=0)


def _mp4_writer() -> Any:
    try:
        import av
    except ImportError as error:
        raise ImportError("Writing .mp4 needs PyAV: pip install av (a .gif needs nothing more)") from error

    def write(path: Path, pictures: Iterable[NDArray[np.uint8]], frames_per_second: int) -> None:
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=Fraction(frames_per_second), options={"crf": "18"})
            stream.pix_fmt = "yuv420p"
            for t, picture in enumerate(pictures):
                if t == 0:
                    stream.height, stream.width = picture.shape[:2]
                container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24")))
            container.mux(stream.encode())

    return write
