"""What stands below the table of a group: memories, clips, alarms, seeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from oddframe.judging.floors import BEST
from oddframe.reproduce.measure import Group, Measured
from oddframe.reproduce.tables import Table

WAYS = {"with": "as trained", "constant": "one constant", "without": "nothing"}
"""What is read from the memories (`evaluation.memories.WAYS`), in words."""
COLUMNS = {
    ("paper", ""): "`paper`",
    ("deploy", "own"): "`deploy`, own streams",
    ("deploy", ""): "`deploy`",
}
"""Protocol and kind of score -> its column."""
COMPARED, OVER = ("deploy", ""), ("deploy", BEST)
"""The default score, and the best that needs no learning, on the same frames."""


def below(table: Table, group: Group) -> Iterator[tuple[str, list[str]]]:
    """Headings and lines of Markdown, of what a group has."""
    if any("memory" in r for row in group.rows for r in row.results):
        yield "What the memories do", _memories(group)
    if table.clips and (clips := _clips(group.rows[0])):
        yield "Clip by clip", clips
    if any(r.get("alarms") for row in group.rows for r in row.results):
        yield "Alarms at the threshold that `fit` leaves", _alarms(group)
    if any(len(row.results) > 1 for row in group.rows):
        yield "Each seed", _seeds(group)


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *lines)]


def _memories(group: Group) -> list[str]:
    """Per run its items in use on the test videos, and what is drawn and judged in each way."""
    head, lines = ["row", "seed", "in use"], []
    for said in WAYS.values():
        head += [f"{said}: normal", "odd", "AUC"]
    for row in group.rows:
        for result in row.results:
            if "memory" not in result:
                continue
            found = result["memory"]
            line = [row.line.name, str(result["seed"])]
            line.append(", ".join(str(m["in_use"]) for m in found["memories"].values()))
            for way in WAYS:
                line += [_decibels(found[way][kind]) for kind in ("normal", "odd")]
                line.append(f"{100 * found[way]['auc']:.1f}")
            lines.append(line)
    text = (
        "PSNR of normal and odd frames in dB, of the frame / of the motion, and the AUC of their "
        "weighted sum,\neach video rescaled: as trained, with every read replaced by one constant, "
        "with nothing read."
    )
    return [text, "", *_table(head, lines)]


def _decibels(means: Mapping[str, float | None]) -> str:
    return " / ".join("" if v is None else f"{v:.2f}" for v in means.values())


def _clips(row: Measured) -> list[str]:
    """What one clip's abnormal frames score above: the normal frames of all clips."""
    shown = {COMPARED: f"`{row.line.model}`", ("deploy", "own"): "its own streams",
             OVER: f"`{BEST}`"}  # fmt: skip
    kinds = [key for key in shown if key in row.aucs]
    aucs, lines = [row.aucs[key].wins for key in kinds], []
    for i, name in enumerate(row.results[0]["pairs"]["deploy"]["videos"] if kinds else []):
        odd, normal = int(aucs[0].abnormal[i]), int(aucs[0].normal.sum())
        if odd and normal:
            shares = [f"{100 * w.wins[i].sum() / (odd * normal):.1f}" for w in aucs]
            lines.append([name, f"{odd}", *shares])
    head = ["clip", "abnormal frames", *(shown[key] for key in kinds)]
    said = (
        f"`deploy` of {row.line.name}: AUC in % of each clip's abnormal frames against the normal "
        "frames of all clips."
    )
    return [said, "", *_table(head, lines)] if lines else []


def _alarms(group: Group) -> list[str]:
    """Per run what its first threshold, of the footage that was kept aside, is worth."""
    lines = []
    for row in group.rows:
        for r in () if row.line.rescored else row.results:
            if not (found := r.get("alarms")):
                continue
            false = found["alarms"] - found["true_alarms"]
            share, delay = found["false_frame_share"], found["median_delay_s"]
            lines.append([
                row.line.name, str(r["seed"]), f"{found['found']} of {found['events']}",
                "" if delay is None else f"{delay:.1f}", f"{false} of {found['alarms']}",
                f"{found['false_alarms_per_hour']:.0f}",
                "" if share is None else f"{100 * share:.1f}",
            ])  # fmt: skip
    said = (
        "Frames above the threshold less than a second apart are one alarm here. Alarms that touch "
        "no event are false:\nof all, and for an hour of such test footage, which has hardly a "
        "normal minute."
    )
    head = ["row", "seed", "events found", "delay, s", "false alarms", "an hour",
            "normal frames in alarm, %"]  # fmt: skip
    return [said, "", *_table(head, lines)]


def _seeds(group: Group) -> list[str]:
    columns = [key for key in COLUMNS if any(key in row.aucs for row in group.rows)]
    lines = []
    for row in group.rows:
        for i, result in enumerate(row.results):
            aucs = [
                "" if key not in row.aucs else f"{row.aucs[key].seeds[i][1]:.2f}" for key in columns
            ]
            steps = "" if row.line.rescored else str(result["training"]["steps"])
            lines.append([row.line.name, str(result["seed"]), *aucs, steps])
    return _table(["row", "seed", *(COLUMNS[key] for key in columns), "steps"], lines)
