"""The table and its pictures, of the rows that there are."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from experiments.video_demo.rows import TITLES, Figures, kept_row

GRAPH_ROW = "c2d_to_vec"


def write_report(runs: Path, out: Path, arguments: Sequence[str] = ()) -> str:
    """Write ``figures.json``, ``table.txt``, ``attention.gif``, and pictures of scenes, curves and confusion matrices.

    Args:
        runs: Folder of the runs.
        out: Folder to write to.
        arguments: Further arguments that the rows were fitted with.

    Returns:
        The table.

    Raises:
        ValueError: If a row that there is was fitted with other arguments or configs.
    """
    rows = [figures for row in TITLES if (figures := kept_row(row, runs, arguments)) is not None]
    out.mkdir(parents=True, exist_ok=True)
    (out / "figures.json").write_text(json.dumps([asdict(figures) for figures in rows], indent=1) + "\n")
    (out / "table.txt").write_text(f"{table(rows)}\n")
    draw_scenes(out / "scenes.png")
    draw_curves(rows, out / "curves.png")
    for figures in rows:
        shutil.copyfile(runs / figures.row / "test" / "confusion_matrix.png", out / f"confusion_{figures.row}.png")
        if figures.row == GRAPH_ROW:
            write_attention(runs / GRAPH_ROW, out / "attention.gif")
    return table(rows)


def table(rows: Sequence[Figures]) -> str:
    """Accuracies in percent, and costs, of all rows; a row without figures says so."""
    columns = ("within pairs, 1 view", "all classes, 1 view", "within pairs, 22 views", "all classes, 22 views")
    costs = ("parameters", "multiply-adds a clip", "training")
    lines = [f"| network | {' | '.join((*columns, *costs))} |", "|---" + "|---:" * (len(columns) + len(costs)) + "|"]
    made = {figures.row: figures for figures in rows}
    for row, title in TITLES.items():
        cells = ["not run"] * len(columns) + ["–"] * len(costs)
        if row in made:
            f = made[row]
            accuracies = (f.center_view_within_pairs, f.center_view, f.views_within_pairs, f.views)
            cells = [f"{100 * accuracy:.1f}" for accuracy in accuracies]
            cells += [f"{f.parameters:,}", f"{f.multiply_adds / 1e6:.0f} M", f"{f.minutes:.1f} min"]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def draw_scenes(path: Path, frames: int = 5) -> None:
    """Draw the first validation video of each class, one a row, a class beside its reverse."""
    from matplotlib.figure import Figure

    from data.video.scenes import ACTIONS, SceneSet

    scenes = SceneSet("val", 8)  # of eight in a row each class has one
    figure = Figure(figsize=(12, 5.6), layout="constrained")
    grid = figure.add_gridspec(len(ACTIONS) // 2, 2)
    for place, action in enumerate(ACTIONS):
        axes = figure.add_subfigure(grid[place]).subplots(2, frames)
        for row, template in zip(axes, (action.forwards, action.backwards), strict=True):
            video = next(scenes.scene(i).frames() for i in range(8) if scenes.template(i) == template)
            for axis, time in zip(row, range(frames), strict=True):
                axis.imshow(video[time * (len(video) - 1) // (frames - 1)])
                axis.set_axis_off()
            row[frames // 2].set_title(template, fontsize=9)
    figure.savefig(path, dpi=80)


def draw_curves(rows: Sequence[Figures], path: Path) -> None:
    """Draw validation accuracy, of all classes and within pairs, over the videos seen."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for figures, style in zip(rows, ("o-", "s-", "^--", "v--", "D:"), strict=False):
        left.plot(figures.videos, figures.accuracy_within_pairs, style, label=TITLES[figures.row])
        right.plot(figures.videos, figures.accuracy, style)
    for axes, title, chance in ((left, "within pairs", 1 / 2), (right, "all eight classes", 1 / 8)):
        axes.axhline(chance, color="grey", linewidth=1)
        axes.set(title=title, xlabel="training videos seen", xlim=(0, None), ylim=(0, 1.02))
        axes.grid(alpha=0.3)
    left.set_ylabel("validation accuracy")
    left.legend(loc="lower right")
    figure.savefig(path, dpi=100)


def write_attention(run: Path, path: Path) -> None:
    """Write the attention over the first validation video that goes from left to right."""
    from data import SomethingSomethingDataModule
    from lightning_modules import VideoClassification
    from rstg_pyg.viz import write_attention_movie

    checkpoint = run / "checkpoints" / "last.ckpt"
    data = SomethingSomethingDataModule.load_from_checkpoint(checkpoint, map_location="cpu")
    label = data.class_names.index("Pushing something from left to right")
    clips = data.make_dataset("val")
    video, _ = clips[data.videos("val").labels.index(label)]
    module = VideoClassification.load_from_checkpoint(checkpoint, map_location="cpu")
    write_attention_movie(video[None] / 255, path, module.network.eval(), frames_per_second=2)
