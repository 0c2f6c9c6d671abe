"""The curves of docs/boxes.md: read from a run's log, and the trainings."""

import pytest

from experiments import boxes
from experiments.boxes import REPOSITORY, TRAININGS, fit_arguments, make_curve, read_curve


def test_curve_by_hand(tmp_path):
    log = tmp_path / "metrics.csv"
    log.write_text("epoch,step,train/acc,val/acc,val/loss\n0,9,0.5,,\n0,124,,0.25,2.5\n1,249,,0.75,1.5\n")
    assert read_curve(log) == {"videos": [2000, 4000], "val/acc": [0.25, 0.75], "val/loss": [2.5, 1.5]}


def test_trainings_differ_in_the_nodes_alone():
    words = {name: fit_arguments(training, "mnist") for name, training in TRAININGS.items()}
    for line in words.values():
        assert all((REPOSITORY / word).is_file() for word in line if word.endswith(".yaml"))
    assert [word.replace("boxes", "positional_all_temp") for word in words["motion"]] == words["grid"]
    assert words["places"] == [*words["motion"], "--model.network.graph.motion", "false"]


def test_stopped_training_goes_on_to_the_end_of_its_curve(monkeypatch, tmp_path):
    calls, folder = [], tmp_path / "motion"

    def main(*arguments):
        calls.append(arguments)
        (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
        (folder / "checkpoints/last.ckpt").touch()
        accuracies = (0.25, 0.5, 0.75)[: len(calls) + 1]
        rows = [f"{125 * epoch + 124},{accuracy},1.0\n" for epoch, accuracy in enumerate(accuracies)]
        (folder / "metrics.csv").write_text("step,val/acc,val/loss\n" + "".join(rows))
        if len(calls) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(boxes, "run_main", main)
    with pytest.raises(KeyboardInterrupt):
        make_curve(TRAININGS["motion"], "mnist", folder)
    for _ in range(2):
        assert make_curve(TRAININGS["motion"], "mnist", folder)["val/acc"] == [0.25, 0.5, 0.75]
    gone_on = ("fit", "--config", str(folder / "config.yaml"), "--ckpt_path", "last", "--run_dir", str(folder))
    assert calls[1:] == [gone_on]
