import platform
from pathlib import Path

import pytest
import torch

from lightning_modules.allocator import GLIBC_SETTINGS, allocator_hint

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")
LINE = "MALLOC_MMAP_THRESHOLD_=4294967296 MALLOC_TRIM_THRESHOLD_=17179869184 MALLOC_TOP_PAD_=268435456"


@pytest.fixture(autouse=True)
def bare_glibc(monkeypatch):
    """A glibc system on which nobody has thought of the allocator."""
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.39"))
    for name in (*GLIBC_SETTINGS, "LD_PRELOAD", "GLIBC_TUNABLES"):
        monkeypatch.delenv(name, raising=False)


def test_fit_says_once_what_to_put_before_the_command(cli, tiny, caplog):
    with caplog.at_level("INFO"):
        cli("fit", *tiny, "--trainer.fast_dev_run", "true")
    assert caplog.text.count(LINE) == 1


@pytest.mark.parametrize("missing", [3, 1, 0])
def test_line_is_whole_where_any_setting_is_missing(monkeypatch, missing):
    for name in list(GLIBC_SETTINGS)[missing:]:
        monkeypatch.setenv(name, "1")
    hint = allocator_hint(CPU)
    assert hint.endswith(LINE) if missing else hint is None


def test_other_commands_say_nothing(cli, tiny, fitted, caplog):
    folder, _ = fitted
    with caplog.at_level("INFO"):
        cli("validate", *tiny, "--run_dir", folder, "--ckpt_path", "best", "--trainer.fast_dev_run", "true")
    assert "MALLOC" not in caplog.text


def test_training_on_another_device_needs_no_setting():
    assert allocator_hint(CPU) is not None
    assert allocator_hint(torch.device("cuda")) is None


def test_another_libc_needs_no_setting(monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert allocator_hint(CPU) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [("LD_PRELOAD", "/usr/lib/libjemalloc.so.2"), ("GLIBC_TUNABLES", "glibc.malloc.mmap_threshold=4294967296")],
)
def test_an_allocator_that_was_chosen_is_left_alone(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    assert allocator_hint(CPU) is None


def test_makefile_and_readme_have_the_same_settings():
    makefile = (ROOT / "Makefile").read_text()
    for name, value in GLIBC_SETTINGS.items():
        assert f"export {name} ?= {value}\n" in makefile
    assert f"`{LINE}`" in (ROOT / "README.md").read_text()
