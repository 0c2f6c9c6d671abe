"""Every benchmark runs, at tiny sizes."""

import json
import subprocess
from functools import cache

import pytest
import torch

from benchmarks import training_step, training_worker
from benchmarks.__main__ import BENCHMARKS, main
from benchmarks.settings import Settings


@pytest.fixture
def worker_inside(monkeypatch, capsys):
    """The training worker in this process, once for all rounds: starting one takes longer than all else here."""

    @cache
    def seconds(model, variant, steps):
        capsys.readouterr()
        training_worker.main(["--model", model, "--variant", variant, "--steps", str(steps)])
        return json.loads(capsys.readouterr().out)

    def run_worker(model, variant, steps, settings, allocator):
        return seconds(model, variant, steps)

    monkeypatch.setattr(training_step, "run_worker", run_worker)
    monkeypatch.setattr(training_worker, "WARM_UP_STEPS", 0)


@pytest.mark.usefixtures("worker_inside")
def test_all_benchmarks_run_and_are_reported(tmp_path):
    main(["all", "--quick", "--rounds", "2", "--device", "cpu", "--out", str(tmp_path)])
    results = json.loads((tmp_path / "performance" / "cpu.json").read_text())
    assert list(results) == list(BENCHMARKS)
    for name, result in results.items():
        assert len(result["rows"]) > 3
        assert result["machine"]["processor"]
        assert result["command"] == f'make bench ARGS="{name} --device cpu --rounds 2 --quick"'
    counted = [row["value"] for row in results["scaling"]["rows"] if row["what"].startswith("messages counted")]
    assert counted == [1.0, 1.0]
    assert "## Training step" in (tmp_path / "performance.md").read_text()


@pytest.mark.slow
def test_worker_in_a_process_of_its_own():
    settings = Settings(device=torch.device("cpu"), quick=True)
    allocators = training_step.allocator_settings(settings)
    assert list(allocators) == ["tuned", "default"]
    seconds = training_step.run_worker("demo.yaml", "straightforward", 1, settings, allocators["tuned"])
    assert set(training_worker.STAGES) < set(seconds)


def test_worker_that_fails_says_why(monkeypatch, capsys):
    with pytest.raises(SystemExit) as stop:
        training_worker.main(["--model", "demo.yaml", "--variant", "no variant", "--steps", "1"])
    failed = subprocess.CompletedProcess([], stop.value.code, "", capsys.readouterr().err)
    monkeypatch.setattr(subprocess, "run", lambda *args, **options: failed)
    with pytest.raises(RuntimeError, match=r"got exit status 2.*\n(.*\n)*.*invalid choice"):
        training_step.run_worker("demo.yaml", "no variant", 1, Settings(device=torch.device("cpu")), {})
