"""Every code block of the README and of docs/ runs, or is at least a command that there is.

Python runs page by page, from the first block to the last over the same names, in an empty folder; a block that begins
with "```python no-run" is compiled alone. Lines of shell go through the parser that would read them, and stop there.
YAML is a config that can be laid over others.
"""

import argparse
import configparser
import importlib.util
import re
import runpy
import shlex
import sys
from importlib import import_module
from pathlib import Path

import jsonargparse
import pytest
import torch
import yaml
from torch.distributed.run import get_args_parser

from lightning_modules.cli import RSTGCLI
from rstg_pyg import VideoClassifier

ROOT = Path(__file__).parent.parent
PAGES = {str(path.relative_to(ROOT)): path for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]}
BASE = ("configs/syncmnist/cpu.yaml", "configs/syncmnist/all_temp.yaml")
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", flags=re.S | re.M)
SHOWN_ONLY = {"", "text", "bibtex", "{toctree}"}


def blocks(language):
    """Page → what its blocks in a language hold, of the pages that have any."""
    found = {
        name: [code for info, code in FENCE.findall(path.read_text()) if info == language]
        for name, path in PAGES.items()
    }
    return {name: codes for name, codes in found.items() if codes}


def commands():
    """All lines of shell, each once, with what continues them and without comments."""
    lines = [
        line for codes in blocks("sh").values() for code in codes for line in code.replace("\\\n", " ").splitlines()
    ]
    return sorted({shlex.join(words) for line in lines if (words := shlex.split(line, comments=True))})


def of_program(*program):
    """The commands of a program, and marks that name them."""
    lines = [line for line in commands() if tuple(shlex.split(line)[: len(program)]) == program]
    return pytest.mark.parametrize("line", lines)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder to run in, with the repository's configs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    return tmp_path


def save_example_model():
    """What docs/model_card.md loads."""
    cnn = {"class_path": "rstg_pyg.models.SmallCNN", "init_args": {"widths": [4, 4, 8]}}
    graph = {"class_path": "rstg_pyg.nn.RSTGToVec", "init_args": {"channels": 8, "node_channels": 4}}
    head = {"class_path": "rstg_pyg.models.ClassifierHead", "init_args": {"in_channels": 4, "num_classes": 2}}
    network = {"class_path": "rstg_pyg.VideoClassifier", "init_args": {"backbone": cnn, "graph": graph, "head": head}}
    clips = {"channels": 1, "num_frames": 2, "frame_size": [32, 32], "value_range": [0.0, 1.0]}
    model = VideoClassifier.from_config({"network": network, "class_names": ["left", "right"], "input": clips})
    model.save_pretrained("FOLDER")
    return {"clip": torch.rand(1, 2, 1, 32, 32)}


@pytest.mark.parametrize("page", blocks("python"))
def test_python_runs(page, folder):
    names = save_example_model() if page == "docs/model_card.md" else {}
    for info, code in FENCE.findall(PAGES[page].read_text()):
        if info in ("python", "python no-run"):
            program = compile(code, page, "exec")
        if info == "python":
            exec(program, names)  # the blocks' own assertions are tests, too
            for name in re.findall(r'"(\S+\.(?:png|html))"', code):
                assert (folder / name).stat().st_size > 10_000


class StoppedError(Exception):
    """A program has come as far as its arguments, and goes no further."""


@pytest.fixture(scope="module")
def lightning_parser():
    """The parser of fit, validate, test and predict, built once."""

    def stop(cli, parser, args):
        raise StoppedError(parser)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RSTGCLI, "parse_arguments", stop)
        with pytest.raises(StoppedError) as stopped:
            RSTGCLI()
    return stopped.value.args[0]


def configs_of_a_run(word):
    """For the config.yaml of a run, which there is none of here, those that made it: its folder has their names."""
    run = re.fullmatch(r"runs/([^/]+)/config\.yaml|CONFIG\.yaml", word)
    if run is None:
        return [word]
    stems = (run[1] or "demo").split("-")
    of_folders = (
        [path.with_name(f"{stem}.yaml") for stem in stems] for path in ROOT.glob(f"configs/**/{stems[-1]}.yaml")
    )
    files = next(files for files in of_folders if all(file.is_file() for file in files))
    data = ["--data", "data.SomethingSomethingDataModule", "--data.root", "DIR"]  # no config names them
    given = data if files[0].parent.name == "something_something" else []
    return [str(files[0]), *(argument for file in files[1:] for argument in ("--config", str(file))), *given]


@of_program("python", "main.py")
def test_command_of_main_is_understood(line, folder, lightning_parser, capsys):
    main = runpy.run_path(str(ROOT / "main.py"))
    command, *options = [argument for word in shlex.split(line)[2:] for argument in configs_of_a_run(word)]
    if command == "--help":
        assert not options  # tests/test_start_up.py runs it
    elif command in main["LIGHTNING_COMMANDS"]:
        if {"--help", "--print_config"} & set(options):
            with pytest.raises(SystemExit, match=r"0|None"):
                lightning_parser.parse_args([command, *options])
            assert "ckpt_path" in capsys.readouterr().out
        else:
            lightning_parser.parse_args([command, *options])
    else:
        assert command in main["COMMANDS"]
        name = command.replace("-", "_")
        parser = jsonargparse.ArgumentParser()
        parser.add_function_arguments(getattr(import_module(f"lightning_modules.commands.{name}"), name))
        parser.parse_args(options)


def of_other_machines():
    """The commands that start main.py elsewhere, and where its own arguments begin."""
    return [(line, line.index(" main.py ") + 9) for line in commands() if line.startswith("torchrun ")] + [
        (line, line.index(" --")) for line in commands() if line.startswith("sbatch ")
    ]


@pytest.mark.parametrize(("line", "start"), of_other_machines())
def test_command_of_more_machines_is_understood(line, start, folder, lightning_parser):
    arguments = shlex.split(line[start:])
    if line.startswith("torchrun"):
        launched = get_args_parser().parse_args(shlex.split(line)[1:])
        assert [launched.training_script, *launched.training_script_args] == ["main.py", *arguments]
    else:
        assert Path(shlex.split(line)[1]).is_file()
        arguments = ["fit", *arguments]
    lightning_parser.parse_args(arguments)


@of_program("python", "-m")
def test_module_takes_the_arguments(line, monkeypatch):
    module, *arguments = shlex.split(line)[2:]
    parse_args = argparse.ArgumentParser.parse_args

    def parse_and_stop(parser, args=None, namespace=None):
        parse_args(parser, args, namespace)
        raise StoppedError

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_and_stop)
    monkeypatch.setattr(sys, "argv", [module, *arguments])
    spec = importlib.util.find_spec(module)
    if spec is not None and spec.submodule_search_locations is not None:  # a package
        module += ".__main__"
    with pytest.raises(StoppedError):
        runpy.run_module(module, run_name="__main__")


@of_program("make")
def test_make_has_the_target_and_the_variables(line):
    makefile = (ROOT / "Makefile").read_text()
    for word in shlex.split(line)[1:]:
        variable, equals, _ = word.partition("=")
        if equals:
            assert f"$({variable})" in makefile or re.search(rf"^(export )?{variable} \?=", makefile, flags=re.M)
        else:
            assert word in re.search(r"^\.PHONY: (.*)$", makefile, flags=re.M)[1].split()


@of_program("pip", "install")
def test_pip_installs_extras_there_are(line):
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    for extras in re.findall(r"\[(.*?)\]", line):
        assert set(extras.split(",")) <= set(setup["options.extras_require"])


def test_every_command_is_of_a_program_tested_here():
    programs = {"main.py", "-m", "make", "pip"}
    others = [line for line in commands() if not programs & set(shlex.split(line)[:2])]
    known = {"git", "cd", "pre-commit", "pytest", "tensorboard", "torchrun", "sbatch"}
    assert {shlex.split(line)[0] for line in others} <= known, others


@pytest.mark.parametrize(
    ("page", "number"), [(page, n) for page, codes in blocks("yaml").items() for n in range(len(codes))]
)
def test_yaml_is_a_config(page, number, folder, lightning_parser):
    (folder / "block.yaml").write_text(blocks("yaml")[page][number])
    files = [argument for file in (*BASE, "block.yaml") for argument in ("--config", file)]
    parsed = lightning_parser.parse_args(["fit", *files]).fit
    assert holds(parsed, yaml.safe_load(blocks("yaml")[page][number]))


def holds(config, block):
    """Whether all that a block says is in the config it was parsed to; arguments may stand without ``init_args``."""
    if isinstance(block, dict):
        return all(holds(config[key] if key in config else config["init_args"][key], block[key]) for key in block)
    return config == block


@pytest.mark.parametrize("page", PAGES)
def test_block_is_in_a_language_tested_here(page):
    languages = {info for info, _ in FENCE.findall(PAGES[page].read_text())}
    assert languages <= {"python", "python no-run", "sh", "yaml", *SHOWN_ONLY}


@pytest.mark.parametrize("page", PAGES)
def test_files_a_page_links_to_are_there(page):
    for link in re.findall(r"\]\((?!http|#)([^)#]+)[^)]*\)", FENCE.sub("", PAGES[page].read_text())):
        assert (PAGES[page].parent / link).is_file(), link
