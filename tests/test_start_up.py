"""What starts quickly stays quick: no library is loaded before it is needed."""

import inspect
import re
import runpy
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from pytorch_lightning.cli import LightningCLI

CHECKOUT = Path(__file__).parent.parent
OWN_COMMANDS = sorted(
    path.stem.replace("_", "-")
    for path in (CHECKOUT / "lightning_modules" / "commands").glob("*.py")
    if path.stem != "__init__"
)


def packages_loaded(script):
    """Top-level packages, Python's own left out, that a script adds in a fresh interpreter after its ``mark()``."""
    script = f"""
import sys
loaded = set()
def mark():
    loaded.update(module.partition(".")[0] for module in sys.modules)
{script}
added = {{module.partition(".")[0] for module in sys.modules}} - loaded - sys.stdlib_module_names
print(*sorted(added), file=sys.stderr)
"""
    command = [sys.executable, "-W", "ignore", "-c", script]
    ran = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    return ran.stderr.split()


def test_import_brings_torch_and_pyg_alone():
    assert packages_loaded("import torch_geometric; mark(); import rstg_pyg") == ["rstg_pyg"]


def test_help_loads_nothing():
    run = "import runpy; sys.argv = ['main.py', '--help']; mark(); runpy.run_path('main.py', run_name='__main__')"
    assert packages_loaded(run) == []


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_names_the_commands_there_are(monkeypatch, capsys, flag):
    monkeypatch.setattr(sys, "argv", ["main.py", flag])
    runpy.run_path(str(CHECKOUT / "main.py"), run_name="__main__")
    shown = capsys.readouterr().out
    assert f"{{{','.join(LightningCLI.subcommands())}}}" in shown
    for command in [*LightningCLI.subcommands(), *OWN_COMMANDS]:
        assert f"\n  {command} " in shown


def test_commands_are_lightnings_and_the_files_of_their_folder():
    main = runpy.run_path(str(CHECKOUT / "main.py"))
    assert list(main["LIGHTNING_COMMANDS"]) == list(LightningCLI.subcommands())
    assert sorted(main["COMMANDS"]) == OWN_COMMANDS


@pytest.mark.parametrize("arguments", [[], ["save"], ["save_pretrained", "--help"]])
def test_unknown_command_is_told_those_there_are(monkeypatch, arguments):
    monkeypatch.setattr(sys, "argv", ["main.py", *arguments])
    got = arguments[0] if arguments else ""
    with pytest.raises(SystemExit, match=rf"Expected a command of fit, .*, save-pretrained.* \(got '{got}'\)"):
        runpy.run_path(str(CHECKOUT / "main.py"), run_name="__main__")


@pytest.mark.parametrize("command", OWN_COMMANDS)
def test_help_of_our_own_command_explains_every_argument(monkeypatch, capsys, command):
    monkeypatch.setattr(sys, "argv", ["main.py", command, "--help"])
    with pytest.raises(SystemExit, match="0"):
        runpy.run_path(str(CHECKOUT / "main.py"), run_name="__main__")
    shown = capsys.readouterr().out
    name = command.replace("-", "_")
    function = getattr(import_module(f"lightning_modules.commands.{name}"), name)
    assert f"main.py {command}" in shown
    for argument in inspect.signature(function).parameters:
        assert re.search(rf"--{argument}\b[^\n]*\s+\w+", shown), argument


@pytest.mark.parametrize("command", LightningCLI.subcommands())
def test_help_of_a_command_is_the_command_lines_own(monkeypatch, capsys, command):
    monkeypatch.setattr(sys, "argv", ["main.py", command, "--help"])
    with pytest.raises(SystemExit, match="0"):
        runpy.run_path(str(CHECKOUT / "main.py"), run_name="__main__")
    shown = capsys.readouterr().out
    for argument in ("--config", "--run_dir", "--trainer.max_epochs", "--model", "--data", "--ckpt_path"):
        assert argument in shown
