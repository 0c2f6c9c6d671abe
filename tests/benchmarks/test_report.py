"""From JSON to the page."""

import pytest

from benchmarks.report import read_results, write_report, write_results
from benchmarks.results import Curve, Figure, Result, Row, format_number

MACHINE = {"processor": "A", "threads": "1", "torch": "2", "allocator": "default", "date": "2026-01-01"}


def make_result(value, kind="bars"):
    curves = [Curve("panel", name, ["a", "b"], [1.0, 2.0], [0.5, 1.5], [1.5, 2.5]) for name in ("one", "two")]
    if kind in ("log", "linear"):
        curves = [Curve("panel", "one", [1, 10], [1.0, 2.0]), Curve("other", "one", [1, 10], [1.0, 2.0])]
    rows = [
        Row("speed", "ms", value, (1.0, 2.0), at_least=3.0),
        Row("exponent", "", 1.0, None, 0.9, 1.1),
        Row("bf16: emulated here"),
    ]
    return Result("Title", "About it.", "B = 2", rows, Figure(kind, "x", "y", curves), "make bench", MACHINE)


def test_json_keeps_everything(tmp_path):
    write_results(tmp_path, "cpu", {"one": make_result(2.5)})
    write_results(tmp_path, "cuda", {"one": make_result(5.0)})
    read = read_results(tmp_path, "cpu")["one"]
    assert read.rows[0] == Row("speed", "ms", 2.5, [1.0, 2.0], at_least=3.0)
    write_results(tmp_path, "again", {"one": read})
    texts = [(tmp_path / "performance" / f"{name}.json").read_text() for name in ("cpu", "again")]
    assert texts[0] == texts[1]
    assert read_results(tmp_path, "tpu") == {}


def test_page_shows_devices_side_by_side_with_targets_and_notes(tmp_path):
    write_results(tmp_path, "cpu", {"one": make_result(2.5), "two": make_result(4.0, "log")})
    write_results(tmp_path, "cuda", {"one": make_result(3.0, "stacked"), "two": make_result(4.0, "linear")})
    (tmp_path / "performance" / "notes.md").write_text("## Notes\n\nWritten by hand.\n")
    page = write_report(tmp_path).read_text()
    assert "| cpu | speed | 2.50 ms | 1.00 – 2.00 | ≥ 3.00 ms | **no** | `make bench` |" in page
    assert "| cuda | speed | 3.00 ms | 1.00 – 2.00 | ≥ 3.00 ms | yes | `make bench` |" in page
    assert "| cpu | exponent | 1.00 |  | ≥ 0.900, ≤ 1.10 | yes | `make bench` |" in page
    assert "| cpu | bf16: emulated here | not measured |  |  |  | `make bench` |" in page
    assert "| cpu | one, two | A | 1 | 2 | default | 2026-01-01 |" in page
    assert page.endswith("## Notes\n\nWritten by hand.\n")
    assert page.count("## Title") == 2
    for name in ("one", "two"):
        for device in ("cpu", "cuda"):
            assert f"(performance/{name}_{device}.png)" in page
            assert (tmp_path / "performance" / f"{name}_{device}.png").stat().st_size > 1000


def test_report_of_nothing_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"Expected results in '.*performance' \(got no .json file\)"):
        write_report(tmp_path)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.0123, "0.0123"), (1, "1.00"), (12.34, "12.3"), (-68.9, "-68.9"), (2024.4, "2,024")],
)
def test_numbers_have_three_digits(value, text):
    assert format_number(value) == text
