"""The curves of docs/boxes.md: read from a run's log, and its commands."""

from pathlib import Path

from experiments.boxes import REPOSITORY, TRAININGS, command, read_curve


def test_curve_by_hand(tmp_path):
    log = tmp_path / "metrics.csv"
    log.write_text("epoch,step,train/acc,val/acc,val/loss\n0,9,0.5,,\n0,124,,0.25,2.5\n1,249,,0.75,1.5\n")
    assert read_curve(log) == {"videos": [2000, 4000], "val/acc": [0.25, 0.75], "val/loss": [2.5, 1.5]}


def test_commands_differ_in_the_nodes_alone():
    words = {name: command(training, "mnist", Path("run")) for name, training in TRAININGS.items()}
    for line in words.values():
        assert all((REPOSITORY / word).is_file() for word in line if word.endswith((".py", ".yaml")))
    assert [word.replace("boxes", "positional_all_temp") for word in words["motion"]] == words["grid"]
    assert words["places"] == [*words["motion"], "--model.network.graph.motion", "false"]
