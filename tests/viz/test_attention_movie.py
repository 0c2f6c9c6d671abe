import builtins
from itertools import pairwise

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image, ImageSequence

from rstg_pyg.viz import write_attention_movie
from rstg_pyg.viz.attention_movie import _show_shares


def test_gif_has_a_picture_for_every_frame(rec, tmp_path):
    path = write_attention_movie(rec, tmp_path / "clip.gif", node=4, frames_per_second=5)
    with Image.open(path) as gif:
        pictures = [np.asarray(image.convert("RGB")).astype(int) for image in ImageSequence.Iterator(gif)]
        assert gif.info["duration"] == 200
    assert len(pictures) == 4
    assert all(np.abs(a - b).max() > 50 for a, b in pairwise(pictures))


def test_mp4_has_a_picture_for_every_frame(rec, tmp_path):
    av = pytest.importorskip("av")
    gif, mp4 = (write_attention_movie(rec, tmp_path / f"clip.{kind}", clip=1) for kind in ("gif", "mp4"))
    with av.open(str(mp4)) as container:
        assert container.streams.video[0].average_rate == 4
        frames = [frame.to_ndarray(format="rgb24").astype(int) for frame in container.decode(video=0)]
    with Image.open(gif) as images:
        pictures = [np.asarray(image.convert("RGB")).astype(int) for image in ImageSequence.Iterator(images)]
    assert len(frames) == 4
    for frame, picture in zip(frames, pictures, strict=True):
        assert np.abs(frame - picture).mean() < 6


def test_every_class_has_a_bar_and_long_names_leave_the_graph_its_place():
    axis, shares = Figure().subplots(), torch.tensor([[0.2, 0.5, 0.3]])
    _show_shares(axis, shares, 0, ("right", "Moving something and something so they collide", "right"))
    bars = {bar.get_y() + bar.get_height() / 2: bar.get_width() for bar in axis.patches}
    assert bars == pytest.approx({0: 0.5, 1: 0.3, 2: 0.2})
    names = [label.get_text() for label in axis.get_yticklabels()]
    assert names == ["Moving something\nand something so\nthey collide", "right", "right"]


def test_errors(rec, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"Expected 'path' to end in one of \['.gif', '.mp4'\]"):
        write_attention_movie(rec, tmp_path / "clip.avi")
    with pytest.raises(ValueError, match=r"Expected 'frames_per_second' to be positive \(got 0\)"):
        write_attention_movie(rec, tmp_path / "clip.gif", frames_per_second=0)
    real = builtins.__import__

    def without_av(name, *args, **kwargs):
        if name == "av":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_av)
    with pytest.raises(ImportError, match="pip install av"):
        write_attention_movie(rec, tmp_path / "clip.mp4")
    assert not list(tmp_path.iterdir())
