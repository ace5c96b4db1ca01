"""Markdown and pictures of a table from its files of results alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from oddframe.atomic import write_atomic
from oddframe.errors import RunError
from oddframe.judging.floors import BEST
from oddframe.models import MODELS
from oddframe.models.papers import NAMES, OTHERS
from oddframe.report.xy import Point, Series, cost_svg, sweep_svg
from oddframe.reproduce.below import COLUMNS, COMPARED, OVER, below
from oddframe.reproduce.measure import (
    PRINTED,
    Auc,
    Difference,
    Group,
    Measured,
    difference,
    groups,
    published,
)
from oddframe.reproduce.results import Result, read_failures, read_results
from oddframe.reproduce.tables import Table

PAGE = "README.md"


def render(table: Table, folder: Path) -> Path:
    """Write folder/README.md and its pictures from the results in the folder.

    Raises:
        RunError: no result, a damaged one, or the folder cannot be written.
        ProtocolError: results of one row that have no mean (`measure.groups`).
    """
    results = read_results(folder)
    if not results:
        raise RunError(
            f"{folder} holds no results of {table.name}: run `oddframe reproduce {table.name}` "
            "first, or give its folder with --out."
        )
    text = [f"# {table.title}", "", _head(table, results), ""]
    for group in groups(table, results):
        text += [*_section(table, group, folder), ""]
    text += _failures(folder)
    text += [_circumstances(results)]
    page = folder / PAGE
    _write(page, "\n".join(text).rstrip() + "\n")
    return page


def _write(path: Path, text: str) -> None:
    write_atomic(path, lambda p: p.write_text(text, "utf8"))


def _head(table: Table, results: Sequence[Result]) -> str:
    return (
        f"Made by `oddframe reproduce {table.name} --render` from the {len(results)} files of "
        "results beside it.\nMicro AUC in %, mean over seeds [95 % over the test videos; with few "
        "videos too narrow]. `paper` is the score\nof the model's paper under its protocol, "
        '`deploy` the causal score, which also has streams that need no network; "own streams" is\n'
        f"that without. A difference is that to {table.against}, paired: both on the same "
        "resampled videos."
    )


def _section(table: Table, group: Group, folder: Path) -> list[str]:
    name = NAMES.get(group.data, group.data)
    what = [name, *filter(None, [group.size]), group.budget]
    if group.recipe != "size":
        what.append(f"recipe of the {group.recipe}")
    out = [f"## {', '.join(what)}", "", *_main(group, table.against), ""]
    if group.several and group.floors:
        first = group.rows[0].results[0]["model"]
        out += [
            f"Floors: over the frames that `{first}` has scores for; models with a shorter history "
            "are judged\non more under `paper`.",
            "",
        ]
    for heading, lines in below(table, group):
        out += [f"### {heading}", "", *lines, ""]
    sized = ("papers" if "paper" in group.size else "cpu") if group.several else group.size
    stem = "-".join([group.data, sized, f"{group.budget.split()[0]}m"])
    stem += "-clock" if group.budget.endswith("by the clock") else ""
    stem += "" if group.recipe == "size" else f"-{group.recipe}"
    for title, file, svg in _pictures(table, group, stem):
        _write(folder / file, svg)
        out += [f"![{title}]({file})", ""]
    return out[:-1]


def _main(group: Group, against: str) -> list[str]:
    """The table of a group: rows, then floors."""
    columns = [key for key in COLUMNS if any(key in row.aucs for row in group.rows)]
    changed = [key for key in columns if any(row.line.after for row in group.rows)]
    of = PRINTED.get(group.data)
    where = f"AUC, published ({NAMES[of]})" if of else "AUC, published"
    head = ["row", "seeds"]
    for key in columns:
        head += [COLUMNS[key], *([f"to {against}"] if key in changed else [])]
    over = any(OVER in row.aucs for row in group.rows)
    head += [f"over `{BEST}`"] if over else []
    costs = group.several
    memories = any("memory" in r["training"] for row in group.rows for r in row.results)
    head += ["steps", *(["items in use"] if memories else [])]
    for unit in ("M", "GMAC"):
        head += [unit, *([f"{unit}, published"] if costs else [])]
    head += [where, *(["frames/s, published"] if costs else [])]
    named = {row.line.name: row for row in group.rows}
    lines = [head, ["---"] * len(head)]
    for row in group.rows:
        lines.append(_line(row, named, columns, changed, costs, memories, over))
    for floor in dict.fromkeys(r["method"] for r in group.floors):
        rows = {r["protocol"]: r for r in group.floors if r["method"] == floor}
        line = [f"`{floor}`", ""]
        for protocol, kind in columns:
            r = rows.get(protocol) if not kind else None
            line.append("" if r is None else _span(*(_percent(r[k]) for k in
                                                     ("auc", "auc_low", "auc_high"))))  # fmt: skip
            line += [""] if (protocol, kind) in changed else []
        lines.append(line + [""] * (len(head) - len(line)))
    return [f"| {' | '.join(line)} |" for line in lines]


def _line(
    row: Measured, named: dict[str, Measured], columns: Sequence[tuple[str, str]],
    changed: Sequence[tuple[str, str]], costs: bool, memories: bool, over: bool,
) -> list[str]:  # fmt: skip
    name = row.results[0]["model"] if costs else row.line.name
    line = [f"`{name}`" if costs else name, str(len(row.results))]
    before = named.get(row.line.after or "")
    for key in columns:
        auc = row.aucs.get(key)
        line.append("" if auc is None else _span(auc.mean, auc.low, auc.high))
        if key in changed:
            line.append(_change(auc, None if before is None else before.aucs.get(key)))
    if over:
        base = next((r for r in (row, before) if r is not None and OVER in r.aucs), None)
        line.append(_change(row.aucs.get(COMPARED), None if base is None else base.aucs[OVER]))
    steps = [r["training"]["steps"] for r in row.results]
    trained = "" if row.line.rescored else _range(steps)
    known = published(row.line.model)
    printed = {"M": known.parameters_m, "GMAC": known.gmac}
    line.append(trained)
    line += [_items(row)] if memories else []
    for unit, value in (
        ("M", row.cost["parameters"] / 1e6), ("GMAC", row.cost["gmac_per_frame"]),
    ):  # fmt: skip
        line.append(f"{value:.2f}")
        line += [_or_blank(printed[unit])] if costs else []
    line.append("" if row.printed is None else f"{row.printed:.1f}")
    return line + ([_or_blank(known.fps)] if costs else [])


def _items(row: Measured) -> str:
    """Items of each memory that normal frames use, of the first seed; as `fit` leaves them."""
    found = row.results[0]["training"].get("memory", {}).values()
    used = ", ".join(str(m["in_use"]) for m in found)
    sizes = dict.fromkeys(str(m["items"]) for m in found)
    return f"{used} of {', '.join(sizes)}" if used else ""


def _range(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low} to {high}"


def _or_blank(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _percent(value: float | None) -> float | None:
    return None if value is None else 100 * value


def _span(value: float | None, low: float | None, high: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.1f}" + ("" if low is None or high is None else f" [{low:.1f}, {high:.1f}]")


def _change(auc: Auc | None, before: Auc | None) -> str:
    if auc is None or before is None:
        return ""
    found: Difference | None = difference(auc, before)
    if found is None:
        return "other frames"
    text = f"{found.points:+.1f}"
    if found.low is None or found.high is None:
        return text
    return f"{text} [{found.low:+.1f}, {found.high:+.1f}]"


# ---- pictures


def _pictures(table: Table, group: Group, stem: str) -> list[tuple[str, str, str]]:
    """Title, file name and SVG of every picture of a group."""
    found = []
    name = NAMES.get(group.data, group.data)
    for i, sweep in enumerate(table.sweeps):
        series = _series(group, sweep.rows)
        if series:
            title = f"{name}: AUC in % over {sweep.title}"
            svg = sweep_svg(series, title, sweep.title)
            found.append((title, f"{stem}-sweep{i + 1}.svg", svg))
    if group.several:
        for unit, file in (("GMAC per new frame", "gmac"), ("million parameters", "parameters")):
            points = _points(group, unit)
            title = f"{name}: AUC in % under paper, against {unit}"
            found.append((title, f"{stem}-{file}.svg", cost_svg(points, title, unit)))
    return found


def _series(group: Group, rows: Sequence[tuple[float, str]]) -> list[Series]:
    named = {row.line.name: row for row in group.rows}
    found = []
    for key, column in COLUMNS.items():
        kept = [(x, named[r].aucs[key]) for x, r in rows if r in named and key in named[r].aucs]
        if kept:
            found.append(
                Series(
                    column.replace("`", ""), tuple(x for x, _ in kept),
                    tuple(a.mean for _, a in kept), tuple(a.low for _, a in kept),
                    tuple(a.high for _, a in kept),
                )
            )  # fmt: skip
    return found


def _points(group: Group, unit: str) -> list[Point]:
    """Printed figures of the whole data set, measured ones of what was judged."""
    data, gmac = PRINTED.get(group.data, group.data), unit.startswith("GMAC")
    points = []
    papers = {e.module: (name, e.published) for name, e in reversed(list(MODELS.items()))}
    for name, known in (*papers.values(), *OTHERS.items()):
        cost = known.gmac if gmac else known.parameters_m
        if cost is not None and data in known.auc:
            points.append(Point(name, cost, known.auc[data], measured=False))
    for row in group.rows:
        auc = row.aucs[("paper", "")]
        cost = row.cost["gmac_per_frame"] if gmac else row.cost["parameters"] / 1e6
        model = row.results[0]["model"]
        points.append(Point(model, cost, auc.mean, True, auc.low, auc.high))
    return points


# ---- what else a reader must know


def _failures(folder: Path) -> list[str]:
    found = read_failures(folder)
    if not found:
        return []
    lines = [f"- `{f['run']}`: {f['error']}" for f in found]
    return ["## Runs that failed", "", *lines, ""]


def _circumstances(results: Sequence[Result]) -> str:
    def listed(values: Sequence[object]) -> str:
        return ", ".join(dict.fromkeys(str(v) for v in values))

    machines = [
        f"{h['cpu']} ({h['cores']} cores, {h['threads']} thread{'s' * (h['threads'] > 1)} a run, "
        f"scan: {h.get('scan') or 'torch'})" + (f", {h['gpu']}" if h["gpu"] else "")
        for h in (r["hardware"] for r in results)
    ]
    spent = sum(r["training"]["core_minutes"] for r in results) / 60
    return (
        "## Circumstances\n\n"
        f"- commit {listed([r['commit'] for r in results])}; oddframe "
        f"{listed([r['oddframe'] for r in results])}\n"
        f"- {listed(machines)}\n"
        f"- {spent:.1f} hours of processor time in training\n"
        f"- protocols: {listed([_protocols(r) for r in results])}"
    )


def _protocols(result: Result) -> str:
    texts = {
        r["protocol"]: r["protocol_text"] for r in result["rows"] if r["method"] == result["model"]
    }
    return "; ".join(f"`{name}`: {text}" for name, text in texts.items())
