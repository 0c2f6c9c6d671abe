"""A record as one interactive page that needs nothing but a browser."""

import base64
import html
import io
import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from rstg_pyg.viz.canvas import SCALE_COLOURS, frames_of, regions_of
from rstg_pyg.viz.planes import slanted_cells
from rstg_pyg.viz.record import Record

DIGITS = 4


def write_page(rec: Record, path: str | Path, clip: int = 0, title: str = "") -> Path:
    """Write a clip of a record as one HTML file: nothing is loaded from elsewhere.

    The page steps through time and iterations, shows the frame beside the graph, the edges by their attention or by the
    norm of their messages, whom a node listens to when it is pointed at, and the class scores over time.

    Args:
        rec: The record; its nodes need regions.
        path: File to write.
        clip: Number of the clip.
        title: Title of the page.

    Returns:
        The path.

    Raises:
        ValueError: If the record has no regions, or numbers in it are not finite.
        IndexError: If there is no such clip.
    """
    path = Path(path)
    for name in ("states", "attention", "message_norm", "scores"):
        values = getattr(rec, name)
        if values is not None and not values[clip : clip + 1].isfinite().all():
            raise ValueError(f"Expected the record to hold finite numbers (got others in '{name}' of clip {clip})")
    data = json.dumps(_content(rec, clip), separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    page = (resources.files("rstg_pyg.viz") / "page.html").read_text(encoding="utf-8")
    parts = {"__TITLE__": html.escape(title or "Recurrent space-time graph"), "__DATA__": data}
    path.write_text(re.sub("|".join(parts), lambda found: parts[found[0]], page), encoding="utf-8")
    return path


def _content(rec: Record, clip: int) -> dict[str, Any]:
    video, (box, scale) = frames_of(rec, clip), regions_of(rec)
    centres, corners = slanted_cells(box, scale.float())
    space_stages = [s for s, name in enumerate(rec.stages) if name.startswith("space")] or [len(rec.stages) - 1]
    return {
        "frames": [] if rec.video is None else [_png(frame) for frame in video],
        "numFrames": len(video),
        "size": [video.size(-2), video.size(-1)],
        "box": _rounded(box),
        "scale": scale.tolist(),
        "colours": SCALE_COLOURS,
        "centres": _rounded(centres),
        "corners": _rounded(corners),
        "edges": rec.edge_index.t().tolist(),
        "attention": _rounded(rec.attention[clip]),
        "messageNorm": _rounded(rec.message_norm[clip]),
        "stateNorm": _rounded(rec.state_norm[clip][:, space_stages]),
        "scores": None if rec.scores is None else _rounded(rec.scores[clip].float().softmax(dim=-1)),
        "classNames": rec.class_names,
    }


def _rounded(tensor: Tensor) -> list:
    """Nested lists of numbers short enough to embed."""
    numbers = tensor.detach().double().numpy()
    short = np.vectorize(lambda number: float(f"{number:.{DIGITS}g}"), otypes=[float])
    return (short(numbers) if numbers.size else numbers).tolist()


def _png(frame: Tensor) -> str:
    """A frame ``[1 or 3, H, W]`` in [0, 1] as base64 of a PNG."""
    pixels = (frame * 255).round().byte().permute(1, 2, 0).squeeze(-1).contiguous().numpy()
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode("ascii")
