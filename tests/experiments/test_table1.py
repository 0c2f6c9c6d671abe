"""The plan of the table, its runs without their trainings, and the page."""

import json
import subprocess
from dataclasses import asdict, replace
from types import SimpleNamespace

import pytest
import torch

from data.syncmnist import make_curricula
from experiments import runs
from experiments.plan import Plan, best_rate
from experiments.protocol import DIGITS, LEARNING_RATES, MOVE, ROWS, TRAIN_VIDEOS, WIDE_MOVE, max_move_table
from experiments.report import first_reaching, table, transfer_text, wilson, write_report
from experiments.runs import Figures, Run, Workshop, fit_arguments
from rstg_pyg.models import ClassifierHead, GlobalAveragePool, SmallCNN, VideoClassifier


def figures_of(run, accuracy=(0.2, 0.5, 0.4), test=0.45, loss=1.0):
    videos = [run.num_videos // 3, 2 * run.num_videos // 3, run.num_videos]
    return Figures(
        run.row,
        run.digits,
        run.num_videos,
        run.rate,
        run.seed,
        run.start.name if run.start else None,
        videos,
        list(accuracy),
        [loss] * 3,
        50.0,
        1000,
        2_000_000,
        None if run.search else test,
        "a processor",
        "command",
    )


def test_plan_takes_the_rate_with_the_lowest_loss_for_all_digits():
    plan = Plan(["i3d", "all_temp"])
    searches = plan.searches()
    assert len(set(searches)) == 2 * len(LEARNING_RATES)
    assert all(run.search and run.digits == 3 for run in searches)
    low, high = LEARNING_RATES
    losses = {("i3d", low): 2.0, ("i3d", high): 1.0, ("all_temp", low): 1.0, ("all_temp", high): 3.0}
    searched = {run: figures_of(run, loss=losses[run.row, run.rate]) for run in searches}
    assert (best_rate("i3d", searched), best_rate("all_temp", searched)) == (high, low)
    rows = plan.rows(searched)
    assert len(rows) == len(set(rows)) == len(DIGITS) * (ROWS["i3d"].num_seeds + ROWS["all_temp"].num_seeds)
    assert {run.rate for run in rows if run.row == "i3d"} == {high}
    assert [run.seed for run in rows[:4]] == [0] * 4  # every row once before any further seed
    (transfer,) = plan.transfers(searched)
    assert transfer.start in rows
    assert Plan(["i3d"]).transfers(searched) == []


def test_runs_of_a_table_have_names_of_their_own():
    plan = Plan(list(ROWS))
    searched = {run: figures_of(run) for run in plan.searches()}
    every = [*plan.searches(), *plan.rows(searched), *plan.transfers(searched)]
    assert len({run.name for run in every}) == len(every)


def test_moves_narrow_from_wide_to_the_published_ones():
    curriculum = make_curricula(3, max_move_table(1000), 0.0)["max_move"]
    assert curriculum.units([0, 500, 700, 900, 999]).tolist() == [WIDE_MOVE, WIDE_MOVE, 23, MOVE, MOVE]


@pytest.mark.parametrize("row", ROWS)
def test_command_line_makes_each_row(row, monkeypatch, tmp_path):
    from lightning_modules.cli import RSTGCLI

    monkeypatch.chdir(runs.REPOSITORY)
    monkeypatch.setattr("sys.argv", ["main.py"])
    _, *arguments = fit_arguments(Run(row, 5, TRAIN_VIDEOS, 1e-3, seed=2), tmp_path)
    arguments += ["--run_dir", str(tmp_path), "--trainer.logger", "false", "--trainer.accelerator", "cpu"]
    made = RSTGCLI(args=[*arguments, "--data.root", str(tmp_path)], run=False)
    assert made.datamodule.hparams.train_videos == TRAIN_VIDEOS
    assert made.datamodule.eval_settings == {"num_digits": 5, "max_move": MOVE, "no_pair": 1 / 92}
    assert made.datamodule.test_paths is not None
    assert made.datamodule.seed == 0  # seeds have the same videos
    assert made.trainer.max_epochs * made.datamodule.epoch_items == TRAIN_VIDEOS
    optimizer = made.model.optimizer(made.model.parameters())
    assert optimizer.defaults["lr"] == 1e-3
    own_backbone = row in ("i3d", "non_local")
    assert (made.model.backbone_weights is None) == own_backbone
    assert all(p.requires_grad == own_backbone for p in made.model.network.backbone.parameters())
    assert made.model.network(torch.zeros(1, 2, 1, 64, 64)).shape == (1, 46)


@pytest.fixture
def workshop(monkeypatch, tmp_path):
    """A workshop whose ``main.py`` leaves its files at once; stops the next call where told to."""
    calls = []

    class FakeWorkshop(Workshop):
        stop_in = None

        def _main(self, run, *arguments):
            calls.append(arguments)
            folder = self.runs / run.name
            (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
            if FakeWorkshop.stop_in == arguments[0]:
                (folder / "checkpoints" / "last.ckpt").touch()
                raise KeyboardInterrupt
            if arguments[0] == "test":
                (folder / "test").mkdir()
                (folder / "test" / "metrics.csv").write_text("step,test/acc\n0,0.75\n")

        def _collect(self, run, test_accuracy):
            return figures_of(run, test=test_accuracy)

    made = FakeWorkshop(tmp_path / "runs", tmp_path / "mnist", threads=1, results=tmp_path / "results")
    return made, calls, lambda command: setattr(FakeWorkshop, "stop_in", command)


def test_stopped_run_is_gone_on_with_and_a_finished_one_left_alone(workshop):
    made, calls, stop_in = workshop
    run = Run("all_temp", 3, TRAIN_VIDEOS, 1e-3)
    stop_in("fit")
    with pytest.raises(KeyboardInterrupt):
        made.figures(run)
    stop_in("test")
    with pytest.raises(KeyboardInterrupt):
        made.figures(run)
    assert calls[1][-2:] == ("--ckpt_path", "last")
    stop_in(None)
    assert made.figures(run).test_accuracy == 0.75
    assert [arguments[0] for arguments in calls] == ["fit", "fit", "test", "test"]
    assert made.figures(run) == made.figures(run)
    assert len(calls) == 4


def test_transfer_starts_from_the_best_weights(workshop):
    made, calls, _ = workshop
    start = Run("all_temp", 3, TRAIN_VIDEOS, 1e-3)
    made.figures(replace(start, digits=5, start=start))
    assert calls[0][calls[0].index("--model.network_weights") + 1] == str(made.checkpoint(start))


def test_training_that_fails_says_why(monkeypatch, tmp_path):
    def fail(command, stdout, **_):
        stdout.write("no such thing\n")
        return subprocess.CompletedProcess(command, 3)

    monkeypatch.setattr(subprocess, "run", fail)
    run = Run("all_temp", 3, TRAIN_VIDEOS, 1e-3)
    with pytest.raises(RuntimeError, match=rf"{run.name} stopped with 3; the end of .*:\nno such thing"):
        Workshop(tmp_path / "runs", tmp_path, 1, tmp_path / "results").figures(run)


def test_training_shorter_than_a_figure_of_speed_has_none(monkeypatch, tmp_path):
    from lightning_modules import VideoClassification

    classifier = VideoClassifier(SmallCNN(1, (2, 2)), GlobalAveragePool(), ClassifierHead(2, 46))
    loaded = SimpleNamespace(network=classifier)
    monkeypatch.setattr(VideoClassification, "load_from_checkpoint", lambda *args, **options: loaded)
    run = Run("all_temp", 3, 16 * 11, 1e-3, search=True)
    made = Workshop(tmp_path, tmp_path, threads=1)
    (tmp_path / run.name).mkdir()
    metrics = tmp_path / run.name / "metrics.csv"
    metrics.write_text("step,val/acc,val/loss\n10,0.5,1.5\n")
    figures = made._collect(run, None)
    assert (figures.videos_per_s, figures.videos, figures.loss) == (None, [16 * 11], [1.5])
    (line,) = (line for line in table([figures]).splitlines() if line.startswith("| RSTG all-temp |"))
    assert line.endswith("| 176 | – | – | 0.001 |")
    metrics.write_text("step,val/acc,val/loss,train/videos_per_s\n5,,,20.0\n10,0.5,1.5,30.0\n")
    assert made._collect(run, None).videos_per_s == 25.0


def test_wilson_interval():
    # 81 of 263, the example of Newcombe (1998): 0.2553 to 0.3662.
    assert wilson(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)


def test_table_is_filled_where_there_are_figures():
    run = Run("all_temp", 3, TRAIN_VIDEOS, 1e-3)
    rows = [figures_of(replace(run, seed=seed), test=test) for seed, test in enumerate((0.5, 0.6, 0.7))]
    rows.append(figures_of(Run("i3d", 5, TRAIN_VIDEOS, 3e-3), test=0.5))
    lines = {line.split(" | ")[0].removeprefix("| "): line.split(" | ") for line in table(rows).splitlines()}
    assert lines["RSTG all-temp"][1:5] == ["60.0 ± 10.0 (3 seeds)", "98.9", "not run", "94.5"]
    assert lines["I3D"][3:5] == ["50.0 (49.0 – 51.0)", "90.6"]
    assert lines["RSTG space-only"][1:] == ["not run", "61.3", "not run", *["–"] * 6, "– |"]


def test_transfer_is_compared_at_ninety_percent_of_the_best():
    run = Run("all_temp", 5, TRAIN_VIDEOS, 1e-3)
    start = Run("all_temp", 3, TRAIN_VIDEOS, 1e-3)
    transfer = figures_of(replace(run, start=start), accuracy=(0.5, 0.75, 0.8))
    scratch = figures_of(run, accuracy=(0.1, 0.15, 0.6))
    assert first_reaching(transfer, 0.72) == 2 * TRAIN_VIDEOS // 3
    text = transfer_text(transfer, scratch)
    assert f"(80.0 %) after {2 * TRAIN_VIDEOS // 3:,} videos" in text
    assert "25 % of its own best (60.0 %)" in text


def test_page_is_written_from_the_figures_alone(tmp_path):
    results = tmp_path / "results" / "table1"
    results.mkdir(parents=True)
    start = Run("all_temp", 3, TRAIN_VIDEOS, 1e-3)
    many = replace(start, digits=5)
    search = replace(start, num_videos=6000, search=True)
    for run in (start, many, replace(many, start=start), search):
        (results / f"{run.name}.json").write_text(json.dumps(asdict(figures_of(run))))
    page = write_report(tmp_path, results).read_text()
    for title in ("## Protocol", "## Table", "## Learning curves", "## From three digits to five", "## Search"):
        assert title in page
    for picture in ("curves.png", "transfer.png"):
        assert f"(results/{picture})" in page
        assert (tmp_path / "results" / picture).stat().st_size > 10_000
