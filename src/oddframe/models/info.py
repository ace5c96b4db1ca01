"""What a model costs: parameters and multiply-adds, counted on shapes alone, beside the paper's.

"GMAC" are multiply-adds of convolutions and matrix products, the unit that the papers print as
"FLOPs" (an exact MNAD counts 46.48 against its published 46.6). The selective scans are no matrix
products and stand in a column of their own: 9 L D N operations each, as VMamba counts them.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib import import_module
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from oddframe.config import Config, PaperConfig
from oddframe.models import ablated, ablations, build, default_config, entry
from oddframe.models.base import VADModel
from oddframe.models.papers import PAPER_TABLES, PaperTable, Published


def describe(name: str, config: Config | None = None) -> dict[str, Any]:
    """Count one model; what `oddframe info NAME --json` prints.

    Args:
        name: a key of `MODELS`.
        config: another configuration than the name's own.

    Returns:
        `model`, `size`, `history`, `parameters`; `gmac_per_frame` and `scan_gflop_per_frame` for
        one new frame of a warm stream, `gmac_per_clip` and `scan_gflop_per_clip` for a stateless
        clip of `history` frames, `gflop_per_frame` = 2 gmac + scan, `published` (None where no
        paper has this size), and `ablations`, the rows of its paper's tables.

    Raises:
        ConfigError: unknown name.
    """
    published = entry(name).published
    with torch.device("meta"):
        model = build(name, config).eval()
    parameters = sum(p.numel() for p in model.parameters())
    gmac_frame, gmac_clip = count(model)
    scan_frame, scan_clip = model.scan_flops() / 1e9, model.scan_flops(model.history) / 1e9
    return {
        "model": name,
        "size": model.size,
        "history": model.history,
        "parameters": parameters,
        "gmac_per_frame": gmac_frame,
        "scan_gflop_per_frame": scan_frame,
        "gflop_per_frame": 2 * gmac_frame + scan_frame,
        "gmac_per_clip": gmac_clip,
        "scan_gflop_per_clip": scan_clip,
        "published": None if published == Published() else asdict(published),
        "ablations": list(ablations(name)),
    }


def describe_rows(name: str) -> list[dict[str, Any]]:
    """Every row of a model's ablations at this size.

    Returns:
        Per row `table`, `about`, `row`, `parameters`, `gmac_per_frame` and `published`, the AUC in
        % that the paper prints of it by data set; [] for a model without ablations.

    Raises:
        ConfigError: unknown name.
    """
    found, known = [], {}
    for table in paper_tables(name):
        for row, printed in table.rows.items():
            config = ablated(name, row)
            # What a loss or a score weighs costs nothing, but that it is 0 may take a part out;
            # counting takes seconds.
            costly = {
                k: v > 0 if k.startswith("lambda") else v for k, v in config.model_dump().items()
            }
            if (key := str(costly)) not in known:
                known[key] = cost(name, config)
            found.append(
                {"table": table.number, "about": table.about, "row": row, **known[key],
                 "published": dict(printed)}
            )  # fmt: skip
    return found


def paper_tables(name: str) -> tuple[PaperTable, ...]:
    """The ablation tables of a model's paper."""
    return PAPER_TABLES.get(entry(name).module, ())


def cost(name: str, config: Config) -> dict[str, Any]:
    """`parameters` and `gmac_per_frame` of one configuration."""
    with torch.device("meta"):
        model = build(name, config).eval()
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "gmac_per_frame": step_gmac(model),
    }


def overview(name: str) -> dict[str, Any]:
    """One model as a row of `oddframe models`.

    Returns:
        `model`, `paper` (the head of its file), `size`, `history`, `parameters`, `gmac_per_frame`,
        what is published of both (None where nothing is), `literal`: the settings that take its
        paper at its word, and `ablations`: the rows of its paper's tables.

    Raises:
        ConfigError: unknown name.
    """
    e = entry(name)
    with torch.device("meta"):
        model = build(name).eval()
    doc = import_module(e.module).__doc__ or ""
    return {
        "model": name,
        "paper": doc.partition("\n")[0].partition(":")[0],
        "size": model.size,
        "history": model.history,
        "parameters": sum(p.numel() for p in model.parameters()),
        "published_parameters_m": e.published.parameters_m,
        "gmac_per_frame": step_gmac(model),
        "published_gmac": e.published.gmac,
        "literal": literal_switches(default_config(name)),
        "ablations": list(ablations(name)),
    }


def literal_switches(config: Config) -> list[str]:
    """Settings that take a paper at its word where `config` does not: all at once, then each.

    As `--set model.NAME=VALUE` takes them; [] where a paper has no such print.
    """
    table = config.LITERAL if isinstance(config, PaperConfig) else {}
    switches = [
        f"{name}={value if isinstance(value, str) else json.dumps(value)}"
        for name, value in table.items()
        if getattr(config, name) != value
    ]
    return ["literal=true", *switches] if table else []


def count(model: VADModel) -> tuple[float, float]:
    """GMAC of one `step` of a warm stream, and of one `forward` of a clip; model on "meta".

    On the meta device tensors have shapes and no values, so this takes seconds at any size.
    """
    clip = torch.empty(1, model.history, 3 + model.carried, model.size, model.size, device="meta")
    with FlopCounterMode(display=False) as stateless:
        model(clip)
    # FlopCounterMode counts a multiply and an add as two.
    return step_gmac(model), stateless.get_total_flops() / 2e9


def step_gmac(model: VADModel) -> float:
    """GMAC of one `step` of a warm stream; model on "meta"."""
    frame = torch.empty(1, 3 + model.carried, model.size, model.size, device="meta")
    state = model.init_state()
    for _ in range(model.history):
        state, _ = model.step(state, frame)
    with FlopCounterMode(display=False) as counter:
        model.step(state, frame)
    return float(counter.get_total_flops() / 2e9)


def table(info: dict[str, Any]) -> str:
    """Lay a `describe` out as lines of text, the published figures beside ours."""
    paper = info["published"] or {}
    rows = [
        ("parameters", f"{info['parameters'] / 1e6:.2f} M", _cell(paper.get("parameters_m"), "M")),
        ("one new frame", f"{info['gmac_per_frame']:.2f} GMAC", _cell(paper.get("gmac"), "GMAC")),
        ("  its scans", f"{info['scan_gflop_per_frame']:.3f} GFLOP", ""),
        ("  both, 2 per GMAC", f"{info['gflop_per_frame']:.2f} GFLOP", ""),
        ("a stateless clip", f"{info['gmac_per_clip']:.2f} GMAC", ""),
        ("  its scans", f"{info['scan_gflop_per_clip']:.3f} GFLOP", ""),
        (
            "speed",
            f"oddframe bench stream --model {info['model']}",
            _cell(paper.get("fps"), "frames/s"),
        ),
    ]
    head = f"{info['model']}: {info['size']} px, {info['history']} frames of history"
    widths = [max(len(row[i]) for row in rows) for i in range(2)]
    lines = [f"{'':{widths[0]}}  {'ours':{widths[1]}}  published"] if paper else []
    lines += [f"{a:{widths[0]}}  {b:{widths[1]}}  {c}".rstrip() for a, b, c in rows]
    if paper:
        unit = "; its unit reads as GMAC per new frame" if paper["gmac"] is not None else ""
        lines.append(f"published: {paper['source']}{unit}")
    return "\n".join([head, *lines])


def _cell(value: float | None, unit: str) -> str:
    return "" if value is None else f"{value:g} {unit}"
