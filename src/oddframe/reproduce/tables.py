"""The tables that can be made again: which methods, seeds and budget each one asks for."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from oddframe.errors import ConfigError
from oddframe.models import MODELS, entry
from oddframe.models.papers import PAPER_TABLES
from oddframe.scoring.fuse import NO_NETWORK, STREAMS


@dataclass(frozen=True, slots=True)
class Line:
    """One row of a table."""

    name: str
    model: str
    ablation: str | None = None
    settings: tuple[str, ...] = ()
    """As `fit --set` takes them."""
    rescored: bool = False
    """Only the score differs: no training of its own, the trained model is scored again."""
    after: str | None = None
    """The row that this one is compared with, pair by pair; None: with none."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """Rows that are one curve: a setting against accuracy."""

    title: str
    rows: tuple[tuple[float, str], ...]
    """Value and name of the row."""


@dataclass(frozen=True, slots=True)
class Table:
    """Everything that one command makes."""

    name: str
    title: str
    lines: tuple[Line, ...]
    seeds: tuple[int, ...]
    minutes: float
    """Of training, per run: of one core's time, on a GPU of wall time."""
    sweeps: tuple[Sweep, ...] = ()
    protocols: tuple[str, ...] = ("paper", "deploy")
    memory: bool = False
    """Every run also says what its memories do."""
    clips: bool = False
    """The first row is also shown clip by clip."""
    against: str = "the row before"
    """What a row is compared with (`Line.after`), in words."""


def _rows(
    model: str,
    *numbers: str,
    about: tuple[str, ...] = (),
    rescored: tuple[str, ...] = (),
    settings: tuple[str, ...] = (),
) -> tuple[Line, ...]:
    """Rows of a paper's tables by their numbers, of its sweeps by what they are about."""
    return tuple(
        Line(
            row, model, row, settings, rescored=table.about in rescored,
            after=None if before is None or not table.number else before,
        )
        for table in PAPER_TABLES[entry(model).module]
        if table.number in numbers or table.about in about
        for before, row in zip((None, *table.rows), table.rows, strict=False)
    )  # fmt: skip


_MEMORIES = {
    "off": ("memory_items=0",),
    "add-random": ("memory_read=add", "memory_start=random", "memory_revive=false"),
    "mnad": ("memory_read=concat", "memory_start=random", "memory_revive=false",
             "memory_write=nearest", "memory_temperature=1.0"),
    "add": ("memory_read=add",),
    "concat": ("memory_read=concat",),
    "replace": ("memory_read=replace",),
    "replace-sharp": ("memory_read=replace", "memory_temperature=0.03"),
    "replace-centred": ("memory_read=replace", "memory_centre=true"),
}  # fmt: skip
"""What M2S2L's memories may be: none, as they were at first, as [26] has them, and ways to make
them bite: items that start far apart and are revived, read in several ways."""


def _memories(head: str, *kinds: str) -> tuple[Line, ...]:
    """Kinds of memory under a head; the base of each is written out, whatever the defaults are."""
    base = ("memory_items=64", "memory_write=mean", "memory_start=apart", "memory_revive=true",
            "memory_centre=false", "memory_temperature=0.1", f"head={head}")  # fmt: skip
    return tuple(
        Line(
            f"{head}-{kind}", "m2s2l-edge",
            settings=tuple(f"model.{s}" for s in (*base, *_MEMORIES[kind])),
            after=None if kind == kinds[0] else f"{head}-{kinds[0]}",
        )
        for kind in kinds
    )  # fmt: skip


def _scenes() -> tuple[Line, ...]:
    """The default as it is, and with one part taken away, changed, or alone."""
    edge = "m2s2l-edge"
    scored = {
        **{f"without {s}": f"score.streams=[{','.join(x for x in STREAMS if x != s)}]"
           for s in STREAMS},
        **{f"{s} alone": f"score.streams=[{s}]" for s in STREAMS},
        "nothing learned": f"score.streams=[{','.join(NO_NETWORK)}]",
        "the model's streams apart": "score.one_voice=false",
        "nearly the largest": "score.sharpness=20",
        "softer": "score.sharpness=0.5",
        "nearly a mean": "score.sharpness=0.02",
        "0.8 s late": "score.lag_s=0.8",
    }  # fmt: skip
    trained = {
        "residual head": ("model.head=residual",),
        "without body sizes": ("score.body_sizes=false",),
        "without cross-fitting": ("score.cross_fit=false",),
        "memories": ("model.memory_items=64", "model.memory_read=concat"),
    }
    return (
        Line("default", edge),
        *(Line(name, edge, settings=(how,), rescored=True, after="default")
          for name, how in scored.items()),
        *(Line(name, edge, settings=how, after="default") for name, how in trained.items()),
    )  # fmt: skip


_ALPHAS = (0.0, 0.2, 0.4, 0.5, 0.6, 0.8, 1.0)
_LAMBDAS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
_KS = (20, 40, 60, 80, 100)
_ITEMS = (0, 8, 16, 32, 64, 128)
_CPU_SIZES = (
    "m2s2l-edge", "stnmamba-128", "msti-net-128", "vadmamba-128", "ffp-128", "mnad-128",
    "ammc-128", "memae-128", "convlstm-ae-128", "conv-ae-128",
)  # fmt: skip
TABLES: dict[str, Table] = {
    t.name: t
    for t in (
        Table(
            "m2s2l-tables", "M2S2L, Tables II and III: components and losses",
            _rows("m2s2l-edge", "II", "III"), seeds=(0, 1, 2), minutes=10,
        ),
        Table(
            "m2s2l-memory", "M2S2L: what its memories do",
            (
                *_memories("residual", *_MEMORIES),
                *_memories("direct", "off", "concat", "replace", "replace-centred"),
            ),
            seeds=(0,), minutes=5, memory=True, against="the row without memory",
        ),
        Table(
            "m2s2l-sweeps", "M2S2L: alpha of the score, items of the memories",
            (
                *(Line(f"alpha{a:g}", "m2s2l-edge", settings=(f"score.alpha={a:g}",),
                       rescored=True) for a in _ALPHAS),
                *(Line(f"items{n}", "m2s2l-edge", settings=(f"model.memory_items={n}",))
                  for n in _ITEMS),
            ),
            seeds=(0,), minutes=10,
            sweeps=(
                Sweep("alpha", tuple((a, f"alpha{a:g}") for a in _ALPHAS)),
                Sweep("items of each memory", tuple((float(n), f"items{n}") for n in _ITEMS)),
            ),
        ),
        Table(
            "scenes", "What each part of the default earns, scene by scene", _scenes(),
            seeds=(0, 1, 2), minutes=25, clips=True, against="the default",
        ),
        Table(
            # Rows without skips draw from a few coarse places. Asked for the change since the last
            # frame they learn that there is none, and are all alike: the picture tells them apart.
            "stnmamba-tables", "STNMamba, Table II: components, the picture itself decoded",
            _rows("stnmamba-128", "II", settings=("model.head=direct",)), seeds=(0,), minutes=10,
        ),
        Table(
            "stnmamba-losses", "STNMamba, Tables III and IV: memory banks and losses",
            _rows("stnmamba-128", "III", "IV"), seeds=(0,), minutes=10,
        ),
        Table(
            "stnmamba-sweeps", "STNMamba, Fig. 7: lambda of the score, K of the memories",
            _rows("stnmamba-128", about=("lambda", "K"), rescored=("lambda",)),
            seeds=(0,), minutes=10,
            sweeps=(
                Sweep("lambda", tuple((x, f"lambda{x:g}") for x in _LAMBDAS)),
                Sweep("K, % of the items", tuple((float(k), f"K{k}") for k in _KS)),
            ),
        ),
        Table(
            "msti-tables", "MSTI-Net, Table II: streams, fusion and memory",
            _rows("msti-net-128", "II"), seeds=(0,), minutes=10,
        ),
        Table(
            "models", "All models at the size for a CPU",
            tuple(Line(name, name) for name in _CPU_SIZES), seeds=(0,), minutes=15,
        ),
    )
}  # fmt: skip
"""Every table that `oddframe reproduce` makes; the budgets are for two cores."""


def table(name: str) -> Table:
    """Look a table up.

    Raises:
        ConfigError: unknown name (names the nearest one, lists all).
    """
    if name not in TABLES:
        near = difflib.get_close_matches(name, TABLES, 1)
        hint = f" Did you mean {near[0]}?" if near else ""
        listed = "; ".join(f"{t.name} ({t.title})" for t in TABLES.values())
        raise ConfigError(f"Unknown table {name!r}.{hint} There are {listed}.")
    return TABLES[name]


def resized(model: str, size: str | None) -> str:
    """Another size of a model: a name of its own sizes, or `paper` for the paper's.

    Raises:
        ConfigError: not a size of this model.
    """
    module = entry(model).module
    sizes = [name for name, e in MODELS.items() if e.module == module]
    if size is None:
        return model
    if size == "paper":
        return sizes[0]
    if size not in sizes:
        raise ConfigError(
            f"--size {size} is no size of {model}: expected paper or {', '.join(sizes)}."
        )
    return size
