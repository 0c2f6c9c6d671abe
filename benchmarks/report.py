"""From the results' JSON to a page of tables and figures."""

import json
from dataclasses import asdict
from pathlib import Path

from benchmarks.figures import draw
from benchmarks.results import Result, Row, format_number

INTRODUCTION = """\
# Performance

This page is generated from `performance/*.json` (`make bench ARGS=report` writes it anew); `make bench` measures
everything. Each row names the command that makes it.

How to read it: a value is the median over rounds, with the quartiles behind it; counts have none. In a round every
contestant of a table runs once, one after the other, so that the machine's noise hits all alike; a ratio is taken
within each round. Rounds that warm up are left out. fp32 is float32 without TF32."""

TABLE_HEAD = """\
| device | what | value | quartiles | target | met | command |
|---|---|---:|---:|---:|---|---|"""
MACHINE_HEAD = """\
## Machines

| device | benchmarks | processor | threads | torch | allocator | date |
|---|---|---|---|---|---|---|"""


def read_results(out: Path, device: str) -> dict[str, Result]:
    """Results of one device by the benchmark's name; empty where there are none."""
    path = out / "performance" / f"{device}.json"
    saved = json.loads(path.read_text()) if path.exists() else {}
    return {name: Result.from_json(result) for name, result in saved.items()}


def write_results(out: Path, device: str, results: dict[str, Result]) -> None:
    """Write the results of one device."""
    path = out / "performance" / f"{device}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    saved = {name: asdict(result) for name, result in results.items()}
    path.write_text(json.dumps(saved, indent=1, ensure_ascii=False) + "\n")


def write_report(out: Path) -> Path:
    """Write ``performance.md`` and its figures from all results in ``out/performance``.

    The text of ``performance/notes.md``, written by hand, ends the page where there is such a file.

    Raises:
        FileNotFoundError: If there are no results.
    """
    folder = out / "performance"
    devices = {path.stem: read_results(out, path.stem) for path in sorted(folder.glob("*.json"))}
    if not devices:
        raise FileNotFoundError(f"Expected results in '{folder}' (got no .json file): run a benchmark first")
    parts = [INTRODUCTION, _machines(devices)]
    for name in dict.fromkeys(name for results in devices.values() for name in results):
        parts.append(_section(name, {device: results[name] for device, results in devices.items() if name in results}))
        for device, results in devices.items():
            if name in results and (figure := results[name].figure) is not None:
                draw(figure).savefig(folder / f"{name}_{device}.png", dpi=110)
    notes = folder / "notes.md"
    if notes.exists():
        parts.append(notes.read_text().strip())
    page = out / "performance.md"
    page.write_text("\n\n".join(parts) + "\n")
    return page


def _machines(devices: dict[str, dict[str, Result]]) -> str:
    benchmarks: dict[tuple[str, ...], list[str]] = {}
    for device, results in devices.items():
        for name, result in results.items():
            benchmarks.setdefault((device, *result.machine.values()), []).append(name)
    rows = [
        f"| {device} | {', '.join(names)} | {' | '.join(facts)} |" for (device, *facts), names in benchmarks.items()
    ]
    return "\n".join([MACHINE_HEAD, *rows])


def _section(name: str, results: dict[str, Result]) -> str:
    first = next(iter(results.values()))
    lines = [f"## {first.title}", "", first.about, ""]
    lines += [f"Sizes ({device}): {result.sizes}." for device, result in results.items()]
    for device, result in results.items():
        if result.figure is not None:
            lines += ["", f"![{first.title}, {device}](performance/{name}_{device}.png)"]
    lines += ["", TABLE_HEAD]
    lines += [_row(device, row, result.command) for device, result in results.items() for row in result.rows]
    return "\n".join(lines)


def _row(device: str, row: Row, command: str) -> str:
    unit = f" {row.unit}" if row.unit else ""
    value = "not measured" if row.value is None else format_number(row.value) + unit
    quartiles = "" if row.quartiles is None else " – ".join(format_number(quartile) for quartile in row.quartiles)
    bounds = [("≥", row.at_least), ("≤", row.at_most)]
    target = ", ".join(f"{sign} {format_number(bound)}{unit}" for sign, bound in bounds if bound is not None)
    met = {True: "yes", False: "**no**", None: ""}[row.met]
    return f"| {device} | {row.what} | {value} | {quartiles} | {target} | {met} | `{command}` |"
