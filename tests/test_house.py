"""Rules of the house: what may import what, how fast `import oddframe` is, what files may say."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
PACKAGE = REPO / "src" / "oddframe"

LAYERS = [
    {"pictures"},
    {"types", "errors", "process"},
    {"config", "device", "atomic", "bars"},
    {"ops"},
    {"models", "losses"},
    {"sources", "data"},
    {"metrics"},
    {"synth"},
    {"scoring", "events"},
    {"calibration", "judging"},
    {"runs", "identity", "sinks"},
    {"train", "runtime", "archive", "export"},
    {"evaluation", "bench"},
    {"report"},
    {"reproduce", "setup", "demo"},
    {"cli", "web"},
    {"__main__"},
]
"""Low to high: a package imports from below its own layer."""
BESIDE = {
    ("models", "losses"), ("data", "sources"), ("runtime", "export"), ("archive", "runtime"),
    ("cli", "web"), ("identity", "runs"),
}  # fmt: skip
"""Importer and imported of one layer that may."""
HEIGHT = {name: i for i, layer in enumerate(LAYERS) for name in layer}

FILES = sorted(PACKAGE.rglob("*.py"))


def part_of(path):
    """The first name below oddframe; "" for oddframe/__init__.py itself."""
    first = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return "" if first == "__init__" else first


def imported(path):
    """(line, dotted module) of every import, inside functions and TYPE_CHECKING too."""
    where = ("oddframe", *path.relative_to(PACKAGE).parent.parts)
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            stem = [*where[: len(where) - node.level + 1]] if node.level else []
            base = ".".join([*stem, *([node.module] if node.module else [])])
            # `from oddframe import losses` imports a module, not a name of oddframe.
            yield from (
                (node.lineno, f"{base}.{a.name}" if base == "oddframe" else base)
                for a in node.names
            )
        elif isinstance(node, ast.Constant) and re.fullmatch(r"oddframe(\.\w+)+", str(node.value)):
            yield node.lineno, str(node.value)  # tables of modules by name


def label(path):
    return str(path.relative_to(PACKAGE))


def test_the_imports_are_found(tmp_path):
    assert len(FILES) > 30
    found = {module for _, module in imported(PACKAGE / "models" / "m2s2l.py")}
    assert {"torch", "oddframe.losses", "oddframe.models.memory", "oddframe.models.base"} <= found
    assert "oddframe.models.m2s2l" in {m for _, m in imported(PACKAGE / "models" / "__init__.py")}


@pytest.mark.parametrize("path", FILES, ids=label)
def test_imports_point_downward(path):
    own = part_of(path)
    if not own:
        return  # the front door hands out what lies anywhere below it, when asked
    assert own in HEIGHT, f"{own} stands in no layer: add it to LAYERS"
    for line, module in imported(path):
        names = module.split(".")
        if names[0] != "oddframe":
            continue
        other = names[1] if len(names) > 1 else ""
        if other in ("__version__", own):
            continue
        at = f"{label(path)}:{line}: {own} imports {module}"
        assert other in HEIGHT, f"{at}: it stands in no layer"
        level = HEIGHT[own] - HEIGHT[other]
        assert level > 0 or (level == 0 and (own, other) in BESIDE), at


@pytest.mark.parametrize("path", FILES, ids=label)
def test_only_the_command_line_makes_reports(path):
    if part_of(path) not in ("report", "reproduce", "demo", "cli", "web", ""):
        assert not [m for _, m in imported(path) if m.startswith("oddframe.report")]


@pytest.mark.parametrize("path", FILES, ids=label)
def test_no_file_needs_torchvision_or_timm(path):
    roots = {module.split(".")[0] for _, module in imported(path)}
    assert not roots & {"torchvision", "timm", "mamba_ssm", "causal_conv1d"}


WORDS = {
    "import", "reads", "writes", "works", "was", "version", "that", "runs", "raises", "could", "is",
    "can", "has", "and", "needs", "alone", "itself", "exists", "knows", "on", "again", "or",
    "watches",
}  # fmt: skip
"""What may follow the name in a sentence."""


def test_no_text_names_a_command_that_does_not_exist():
    from oddframe.cli import GROUPS, VERBS

    known = {v.replace("_", "-") for v in VERBS} | set(GROUPS) | WORDS
    texts = [*FILES, *REPO.glob("*.md"), *(REPO / "docs").glob("*.md")]
    for path in texts:
        named = re.findall(r"\boddframe ([a-z][a-z-]*)", path.read_text("utf-8"))
        assert set(named) <= known, f"{path}: {sorted(set(named) - known)}"


def fresh(code):
    """What a fresh interpreter prints for `code`."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/"
    )
    return done.stdout


def test_importing_oddframe_takes_less_than_a_fifth_of_a_second():
    code = (
        "import time; start = time.perf_counter(); import oddframe;"
        "print(time.perf_counter() - start)"
    )
    assert min(float(fresh(code)) for _ in range(5)) < 0.2


def test_importing_oddframe_loads_nothing_heavy():
    heavy = ("torch", "cv2", "numpy", "scipy", "lightning", "pydantic", "yaml", "typer", "rich")
    code = (
        "import sys, json; before = set(sys.modules); import oddframe;"
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    loaded = {name.split(".")[0] for name in json.loads(fresh(code))}
    assert not loaded & set(heavy)


def test_the_table_of_models_loads_no_torch():
    code = "import sys, oddframe.models; print('torch' in sys.modules, 'cv2' in sys.modules)"
    assert fresh(code).split() == ["False", "False"]


def test_no_file_names_a_place_on_one_machine():
    done = subprocess.run(["git", "ls-files", "-z"], cwd=REPO, capture_output=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout: nothing tells which files are ours")
    places = [b"/" + b"work/", b"/" + b"tmp/me"]
    guilty = []
    for name in filter(None, done.stdout.decode().split("\0")):
        path = REPO / name
        if path.is_file() and not path.is_symlink():
            text = path.read_bytes()
            guilty += [f"{name}: {p.decode()}" for p in places if p in text]
    assert not guilty


def test_a_model_of_a_paper_lists_its_deviations():
    from oddframe.models import MODELS

    for module in {e.module for e in MODELS.values() if e.published.source}:
        path = PACKAGE.joinpath(*module.split(".")[1:]).with_suffix(".py")
        doc = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
        assert "DEVIATION" in doc, f"{path.name} equals its paper in everything?"


def test_no_public_function_takes_more_than_eight_arguments():
    """The scan's are the reference's, kernels' and a chart's are what they draw."""
    for path in FILES:
        if part_of(path) == "ops" or label(path) == "report/plot.py":
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                a = node.args
                names = [x.arg for x in (*a.posonlyargs, *a.args, *a.kwonlyargs)]
                names = [n for n in names if n not in ("self", "cls")]
                assert len(names) <= 8, f"{label(path)}: {node.name} takes {', '.join(names)}"
