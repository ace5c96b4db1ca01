"""Graphs into files: ONNX, and torch's own `.pt2`.

    export_run(load_run("RUN"), Path("model.onnx"), "onnx")

Both are made of one `torch.export` of the plan's module. Of the machine that made it a file tells
nothing: what torch notes of its source files is taken out.
"""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from torch.export import Dim, ExportedProgram

from oddframe.atomic import write_atomic
from oddframe.errors import ConfigError
from oddframe.export.card import EXTRA, NEXT, STATE, Kind
from oddframe.export.plan import Plan, Scan, plan_run
from oddframe.ops.exported import ATTENTION_OPSET, DOMAIN
from oddframe.runs import Run

To = Literal["onnx", "torch"]
TARGETS: dict[str, To] = {"onnx": "onnx", "torch": "torch"}
OPSET = 20
"""Of ONNX: what torch's own translations are written in."""
LEAST_PX, MOST_PX = 16, 16384
"""Rows and columns of pictures."""


def export_run(run: Run, file: Path, to: To, kind: Kind = "step", scan: Scan = "unrolled") -> Plan:
    """Write a RUN's streaming step, or its clip, as one file.

    Raises:
        ConfigError: it cannot be exported, or the extra `[onnx]` is not installed.
        RunError: its weights are absent or damaged, or the file cannot be written.
    """
    if to == "torch" and scan != "unrolled":
        raise ConfigError(
            "LinearAttention is an operator of ONNX, which torch cannot run: give --scan "
            f"{scan} with --to onnx, or leave it out."
        )
    if to == "onnx":
        needs_onnx()
    plan = plan_run(run, kind, scan)
    write(plan, file, to)
    return plan


def write(plan: Plan, file: Path, to: To) -> None:
    """Write a plan's graph, under a temporary name first.

    Raises:
        RunError: the file cannot be written.
    """
    program = traced(plan)
    made = to_torch(plan, program) if to == "torch" else to_onnx(plan, program)
    write_atomic(file, lambda path: path.write_bytes(made))


def traced(plan: Plan) -> ExportedProgram:
    """The graph as torch has it, with open rows and columns of the picture."""
    inputs = plan.inputs()
    rows, columns = (Dim(name, min=LEAST_PX, max=MOST_PX) for name in ("height", "width"))
    first = {0: rows, 1: columns} if plan.card.kind == "step" else {1: rows, 2: columns}
    fixed: tuple[dict[str, Any], ...] = tuple(
        {name: {} for name in x} if isinstance(x, dict) else {} for x in inputs[1:]
    )
    with torch.no_grad(), _quiet():
        found = torch.export.export(plan.graph, inputs, dynamic_shapes=(first, *fixed))
    for node in found.graph.nodes:
        node.meta.pop("stack_trace", None)  # where in whose files it comes from
    return found


def to_torch(plan: Plan, program: ExportedProgram) -> bytes:
    """A `.pt2` file."""
    extra, buffer = {EXTRA: json.dumps(plan.card.text(), indent=2)}, io.BytesIO()
    with _quiet():
        torch.export.save(program, buffer, extra_files=extra)
    return buffer.getvalue()


def to_onnx(plan: Plan, program: ExportedProgram) -> bytes:
    """An ONNX file."""
    needs_onnx()
    import onnxscript.optimizer
    from onnx_ir import serde

    with torch.no_grad():
        given, out = plan.inputs(), plan.graph(*plan.inputs())
    with _quiet():
        made: Any = torch.onnx.export(
            program, dynamo=True, verbose=False, opset_version=OPSET, optimize=False
        )
        # Torch's own call goes round twice, which takes twice as long and finds nothing more.
        model = onnxscript.optimizer.optimize(made.model, num_iterations=1)
    # Named now: the optimiser joins outputs that are the same, and then gives names of its own.
    for values, names in (
        (model.graph.inputs, input_names(plan, given)),
        (model.graph.outputs, output_names(out)),
    ):
        for value, name in zip(values, names, strict=True):
            value.name = name
    for node in model.graph.all_nodes():
        node.metadata_props.clear()
        node.doc_string = None
        if node.domain == DOMAIN:
            node.domain, node.version = "", ATTENTION_OPSET
            # The other operators that are here mean the same in both opsets.
            model.opset_imports[""] = ATTENTION_OPSET
    model.opset_imports.pop(DOMAIN, None)
    model.producer_name, model.producer_version = "oddframe", plan.card.oddframe
    model.metadata_props.clear()
    model.metadata_props.update(plan.card.text())
    found: bytes = serde.serialize_model(model).SerializeToString()
    return found


def input_names(plan: Plan, given: tuple[Any, ...]) -> list[str]:
    """The names of what goes in, in order."""
    states = [f"{STATE}{name}" for x in given if isinstance(x, Mapping) for name in x]
    flow = [] if plan.card.flow == "none" else ["flow"]
    return ["picture" if plan.card.kind == "step" else "pictures", *states, *flow]


def output_names(out: Mapping[str, Any]) -> Iterator[str]:
    """The names of what comes out, in order."""
    for name, value in out.items():
        if not isinstance(value, Mapping):
            yield name
            continue
        prefix = NEXT if name == "state" else f"{name}."
        yield from (f"{prefix}{below}" for below in value)


def needs_onnx() -> None:
    """Raise ConfigError where the extra `[onnx]` is not installed."""
    try:
        import onnx
        import onnxscript
    except ImportError as error:
        raise ConfigError(
            f"ONNX needs the packages onnx, onnxscript and onnxruntime ({error}). Install them: "
            "pip install 'oddframe[onnx]'"
        ) from None
    del onnx, onnxscript


@contextmanager
def _quiet() -> Iterator[None]:
    """What torch's exporters say of themselves is nothing that a user could act on."""
    known = [logging.getLogger(name) for name in ("onnxscript", "torch.onnx", "onnx_ir")]
    levels = [logger.level for logger in known]
    for logger in known:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(known, levels, strict=True):
            logger.setLevel(level)
