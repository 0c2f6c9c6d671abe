"""The plan of the table, its runs without their trainings, and the page."""

import math
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from data.syncmnist import make_curricula
from experiments import runs
from experiments.__main__ import main, make
from experiments.plan import best_rate, few_digits, from_scratch, further_seeds, many_digits, searches
from experiments.protocol import FEW, LEARNING_RATES, MANY, PUBLISHED_MOVE, ROWS, TRAIN_VIDEOS, WIDE_MOVE, curriculum
from experiments.report import DOCS, first_reaching, planned_figures, table, transfer_text, wilson, write_report
from experiments.resumable import digest_files, keep
from experiments.runs import Figures, Workshop, fit_arguments
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
        runs.fit_command(run),
        digest_files(fit_arguments(run, runs.RUNS)),
    )


def test_table_is_made_stage_by_stage_with_the_rate_of_lowest_loss():
    low, high = LEARNING_RATES
    losses = {("i3d", low): 2.0, ("i3d", high): 1.0, ("all_temp", low): 1.0, ("all_temp", high): 3.0}
    made = []

    def figures(run):
        made.append(run)
        assert run.start is None or run.start in made
        return figures_of(run, loss=losses[run.row, run.rate] if run.search else math.nan)

    make(["i3d", "all_temp"], figures, jobs=1)
    assert made == [
        *searches("i3d"),
        few_digits("i3d", high),
        *searches("all_temp"),
        few_digits("all_temp", low),
        many_digits("i3d", high),
        many_digits("all_temp", low),
        *from_scratch("all_temp", low),
        *further_seeds("all_temp", low),
    ]
    assert [(run.digits, run.seed) for run in made[-4:]] == [(FEW, 1), (MANY, 1), (FEW, 2), (MANY, 2)]
    assert all(run.search and run.digits == FEW for run in searches("i3d"))
    (scratch,), many = from_scratch("all_temp", 3e-3), many_digits("all_temp", 3e-3)
    assert (scratch.start, scratch.rate, from_scratch("i3d", low)) == (None, 3e-3, [])
    assert (many.start, many.rate) == (few_digits("all_temp", 3e-3), 1e-3)
    assert best_rate([figures_of(run, loss=losses["i3d", run.rate]) for run in searches("i3d")]) == high
    losses["i3d", low] = math.nan
    assert best_rate([figures_of(run, loss=losses["i3d", run.rate]) for run in searches("i3d")]) == high


@pytest.mark.parametrize(
    ("arguments", "made"),
    [(["report"], []), (["i3d", "report", "i3d"], ["i3d"]), ([], list(ROWS))],
)
def test_command_makes_each_row_asked_for_once_and_the_report(arguments, made, monkeypatch, tmp_path):
    (tmp_path / "MNIST" / "raw").mkdir(parents=True)
    asked = []
    monkeypatch.setattr("sys.argv", ["experiments", *arguments, "--mnist", str(tmp_path), "--runs", str(tmp_path)])
    monkeypatch.setattr("experiments.__main__.make", lambda rows, figures, jobs: asked.extend(rows))
    monkeypatch.setattr("experiments.__main__.write_report", lambda: asked.append("report"))
    main()
    assert asked == [*made, "report"]


def test_runs_of_a_table_have_names_of_their_own():
    made = []

    def figures(run):
        made.append(run)
        return figures_of(run)

    make(list(ROWS), figures, jobs=2)
    assert len({run.name for run in made}) == len(set(made)) == len(made)


def test_moves_narrow_on_the_way_to_three_digits():
    steps = [0, 400, 600, 800, 999]
    settings = make_curricula(**curriculum(FEW, 1000, search=False))
    assert settings["max_move"].units(steps).tolist() == [WIDE_MOVE, WIDE_MOVE, 23, PUBLISHED_MOVE, PUBLISHED_MOVE]
    assert settings["num_digits"].units(steps).tolist() == [FEW] * 5
    for digits, search, move in ((FEW, True, WIDE_MOVE), (MANY, False, PUBLISHED_MOVE)):
        constant = make_curricula(**curriculum(digits, 1000, search))
        assert constant["max_move"].units([0, 999]).tolist() == [move, move]


@pytest.mark.parametrize("row", ROWS)
def test_command_line_makes_each_row(row, monkeypatch, tmp_path):
    from lightning_modules.cli import RSTGCLI

    monkeypatch.chdir(runs.REPOSITORY)
    monkeypatch.setattr("sys.argv", ["main.py"])
    run = replace(many_digits(row, 3e-3, seed=2), start=None)
    arguments = [*fit_arguments(run, tmp_path), *runs.test_arguments(MANY)]
    arguments += ["--run_dir", str(tmp_path), "--trainer.logger", "false", "--trainer.accelerator", "cpu"]
    made = RSTGCLI(args=[*arguments, "--data.root", str(tmp_path)], run=False)
    assert made.datamodule.hparams.train_videos == TRAIN_VIDEOS[MANY]
    assert made.datamodule.eval_settings == {"num_digits": MANY, "max_move": PUBLISHED_MOVE, "no_pair": 1 / 92}
    assert made.datamodule.test_paths is not None
    assert made.datamodule.seed == 0  # seeds have the same videos
    assert made.trainer.max_epochs * made.datamodule.epoch_items == TRAIN_VIDEOS[MANY]
    optimizer = made.model.optimizer(made.model.parameters())
    assert optimizer.defaults["lr"] == 1e-3
    own_backbone = row in ("i3d", "non_local")
    assert (made.model.backbone_weights is None) == own_backbone
    assert all(p.requires_grad == own_backbone for p in made.model.network.backbone.parameters())
    assert made.model.network(torch.zeros(1, 2, 1, 64, 64)).shape == (1, 46)


def test_published_paths_are_tested_where_there_are_some():
    assert runs.test_arguments(MANY) == ["--data.test_paths", "published"]
    assert runs.test_arguments(FEW) == []  # there are none of three digits


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
                tested = folder / "test"
                tested.mkdir(parents=True)
                (tested / "metrics.csv").write_text("step,test/acc\n0,0.75\n")

        def _collect(self, run, test_accuracy, files):
            return replace(figures_of(run), test_accuracy=test_accuracy, files=files)

    made = FakeWorkshop(tmp_path / "runs", tmp_path / "mnist", threads=1, results=tmp_path / "results")
    return made, calls, lambda command: setattr(FakeWorkshop, "stop_in", command)


def test_stopped_run_is_gone_on_with_and_a_finished_one_left_alone(workshop):
    made, calls, stop_in = workshop
    run = few_digits("all_temp", 1e-3)
    stop_in("fit")
    with pytest.raises(KeyboardInterrupt):
        made.figures(run)
    stop_in("test")
    with pytest.raises(KeyboardInterrupt):
        made.figures(run)
    assert calls[1][3:5] == ("--ckpt_path", "last")
    stop_in(None)
    assert made.figures(run).test_accuracy == 0.75
    assert [arguments[0] for arguments in calls] == ["fit", "fit", "test", "test"]
    assert made.figures(run) == made.figures(run)
    assert len(calls) == 4


@pytest.mark.parametrize("figures_kept", [False, True])
def test_five_digits_start_from_the_best_weights_of_three_made_anew_where_they_are_not(workshop, figures_kept):
    made, calls, _ = workshop
    few, many = few_digits("all_temp", 1e-3, seed=1), many_digits("all_temp", 1e-3, seed=1)
    if figures_kept:
        keep(figures_of(few), made.results / f"{few.name}.json")
    made.figures(many)
    fits = [arguments for arguments in calls if arguments[0] == "fit"]
    assert [Path(arguments[arguments.index("--run_dir") + 1]).name for arguments in fits] == [few.name, many.name]
    assert fits[1][fits[1].index("--model.network_weights") + 1] == str(made.checkpoint(few))
    assert (made.results / f"{few.name}.json").is_file() == figures_kept


def test_weights_of_three_digits_are_finished_before_they_are_gone_on_from(workshop):
    made, calls, stop_in = workshop
    few, many = few_digits("all_temp", 1e-3), many_digits("all_temp", 1e-3)
    keep(figures_of(few), made.results / f"{few.name}.json")
    stop_in("fit")
    with pytest.raises(KeyboardInterrupt):
        made.figures(many)
    made.checkpoint(few).touch()
    stop_in(None)
    made.figures(many)
    assert [Path(arguments[arguments.index("--run_dir") + 1]).name for arguments in calls[:3]] == [few.name] * 2 + [
        many.name
    ]
    assert calls[1][3:5] == ("--ckpt_path", "last")


def test_weights_of_three_digits_are_made_once(workshop):
    made, calls, _ = workshop
    run = few_digits("all_temp", 1e-3)
    made.figures(run)
    made.checkpoint(run).touch()
    made.figures(many_digits("all_temp", 1e-3))
    assert [arguments[0] for arguments in calls] == ["fit", "test"] * 2


@pytest.mark.parametrize("stopped", [False, True])
def test_figures_and_runs_of_another_protocol_are_refused(workshop, monkeypatch, stopped):
    made, calls, stop_in = workshop
    run = few_digits("all_temp", 1e-3)
    if stopped:
        stop_in("fit")
        with pytest.raises(KeyboardInterrupt):
            made.figures(run)
    else:
        made.figures(run)
    number = len(calls)
    monkeypatch.setattr(runs, "NUM_TEST_VIDEOS", 20)
    with pytest.raises(ValueError, match=r"(?s)Expected .*test_videos 20 .*got.*test_videos 10000 "):
        made.figures(run)
    assert len(calls) == number


def test_figures_of_files_that_changed_in_the_training_are_refused(workshop, monkeypatch):
    made, *_ = workshop
    run, digests = few_digits("all_temp", 1e-3), iter(("then", "now"))
    monkeypatch.setattr(runs, "digest_files", lambda arguments: next(digests))
    with pytest.raises(ValueError, match=r"(?s)Expected .*'now'.*got.*'then'"):
        made.figures(run)


def test_training_that_fails_says_why(monkeypatch, tmp_path):
    def fail(command, stdout, **_):
        stdout.write("no such thing\n")
        return subprocess.CompletedProcess(command, 3)

    monkeypatch.setattr(subprocess, "run", fail)
    run = few_digits("all_temp", 1e-3)
    with pytest.raises(RuntimeError, match=rf"{run.name} stopped with 3; the end of .*:\nno such thing"):
        Workshop(tmp_path / "runs", tmp_path, 1, tmp_path / "results").figures(run)


def test_training_shorter_than_a_figure_of_speed_has_none(monkeypatch, tmp_path):
    from lightning_modules import VideoClassification

    classifier = VideoClassifier(SmallCNN(1, (2, 2)), GlobalAveragePool(), ClassifierHead(2, 46))
    loaded = SimpleNamespace(network=classifier)
    monkeypatch.setattr(VideoClassification, "load_from_checkpoint", lambda *args, **options: loaded)
    run = replace(few_digits("all_temp", 1e-3), num_videos=16 * 11)
    made = Workshop(tmp_path, tmp_path, threads=1)
    (tmp_path / run.name).mkdir()
    metrics = tmp_path / run.name / "metrics.csv"
    metrics.write_text("step,val/acc,val/loss\n10,0.5,1.5\n")
    figures = made._collect(run, None, "0123")
    assert (figures.videos_per_s, figures.videos, figures.loss) == (None, [16 * 11], [1.5])
    assert shlex.split(figures.command) == ["python", "main.py", "fit", *fit_arguments(run, runs.RUNS)]
    metrics.write_text("step,val/acc,val/loss,train/videos_per_s\n5,,,20.0\n10,0.5,1.5,30.0\n")
    assert made._collect(run, None, "0123").videos_per_s == 25.0


def test_wilson_interval():
    # 81 of 263, the example of Newcombe (1998): 0.2553 to 0.3662.
    assert wilson(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)


def test_table_is_filled_where_there_are_figures():
    run = few_digits("all_temp", 1e-3)
    rows = [figures_of(replace(run, seed=seed), test=test) for seed, test in enumerate((0.5, 0.6, 0.7))]
    rows += [figures_of(few_digits("i3d", 3e-3), test=0.8), figures_of(many_digits("i3d", 3e-3), test=0.5)]
    lines = {line.split(" | ")[0].removeprefix("| "): line.split(" | ") for line in table(rows).splitlines()}
    assert lines["RSTG all-temp"][1:5] == ["60.0 ± 10.0 (3 seeds)", "98.9", "not run", "94.5"]
    assert lines["I3D"][1:5] == ["80.0 (79.2 – 80.8)", "–", "50.0 (49.0 – 51.0)", "90.6"]
    assert lines["I3D"][7:] == ["200,000", "1.1 h", "50", "0.003 |"]
    slower = [replace(figures, seed=1, videos_per_s=5.0) for figures in rows if figures.row == "i3d"]
    assert "| 200,000 | 1.1 h | 50 | 0.003 |" in table([*slower, *rows])
    assert lines["RSTG space-only"][1:] == ["not run", "61.3", "not run", *["–"] * 6, "– |"]
    untimed = figures_of(few_digits("i3d", 3e-3))
    assert "| 120,000 | – | – |" in table([replace(untimed, videos_per_s=None)])


def test_transfer_is_compared_at_ninety_percent_of_the_best():
    transfer = figures_of(many_digits("all_temp", 1e-3), accuracy=(0.5, 0.75, 0.8))
    (alone,) = from_scratch("all_temp", 1e-3)
    scratch = figures_of(alone, accuracy=(0.1, 0.15, 0.6))
    assert first_reaching(transfer, 0.72) == 2 * TRAIN_VIDEOS[MANY] // 3
    text = transfer_text(transfer, scratch)
    assert f"(80.0 %) after {2 * TRAIN_VIDEOS[MANY] // 3:,} videos" in text
    assert "15.0 %, and 60.0 % at best" in text


def test_page_is_written_from_the_figures_alone(tmp_path):
    few, many = few_digits("all_temp", 1e-3), many_digits("all_temp", 1e-3)
    for run in (few, many, *from_scratch("all_temp", 1e-3), *searches("all_temp")):
        keep(figures_of(run), tmp_path / "results/table1" / f"{run.name}.json")
    page = write_report(tmp_path, tmp_path / "results/table1").read_text()
    for title in ("## Protocol", "## Table", "## Learning curves", "## From three digits to five", "## Search"):
        assert title in page
    (row,) = [line for line in page.splitlines() if line.startswith("| RSTG all-temp |") and "98.9" in line]
    assert row.count("45.0 (") == 2  # not of the run from scratch
    for picture in ("curves.png", "transfer.png"):
        assert f"(results/{picture})" in page
        assert (tmp_path / "results" / picture).stat().st_size > 10_000


def test_page_of_the_documentation_is_what_the_figures_and_notes_make(tmp_path):
    assert write_report(tmp_path).read_text() == (DOCS / "results.md").read_text()


def test_runs_other_than_the_planned_ones_are_left_out_and_named(tmp_path, capsys):
    low, high = searches("i3d")
    few, many = few_digits("i3d", high.rate), many_digits("i3d", high.rate)
    not_chosen = many_digits("i3d", low.rate)
    longer = replace(few, num_videos=2 * few.num_videos)
    unsearched = few_digits("time_only", low.rate)
    for run in (many, few, not_chosen, longer, unsearched, searches("time_only")[0]):
        keep(figures_of(run), tmp_path / f"{run.name}.json")
    keep(figures_of(low, loss=2.0), tmp_path / f"{low.name}.json")
    keep(figures_of(high, loss=1.0), tmp_path / f"{high.name}.json")
    searched, rows, scratch = planned_figures(tmp_path)
    assert searched == [
        figures_of(low, loss=2.0),
        figures_of(high, loss=1.0),
        figures_of(searches("time_only")[0]),
    ]
    assert (rows, scratch) == ([figures_of(few), figures_of(many)], [])
    left_out = capsys.readouterr().out.strip().partition(": ")[2].split(", ")
    assert left_out == sorted(run.name for run in (not_chosen, longer, unsearched))


def test_copied_figures_are_no_further_seed(tmp_path):
    few = few_digits("all_temp", 1e-3)
    for run in (*searches("all_temp"), few):
        keep(figures_of(run), tmp_path / f"{run.name}.json")
    copied = tmp_path / f"{replace(few, seed=1).name}.json"
    copied.write_bytes((tmp_path / f"{few.name}.json").read_bytes())
    with pytest.raises(ValueError, match=rf"Expected {copied} to hold .*seed_everything 1.* \(got .*seed_everything 0"):
        planned_figures(tmp_path)
