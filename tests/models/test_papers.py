"""What models say of their papers: equations, deviations found by one grep, literal switches."""

import ast
import re
from importlib import import_module
from pathlib import Path

import pytest
import test_model_contract as contracts
import torch
from contract import ModelContract, video

import oddframe
from oddframe.models import MODELS, build, default_config
from oddframe.models.info import literal_switches

SOURCE = Path(oddframe.__file__).parent
EQUATIONS = {
    "M2S2L": (9, ("models/m2s2l.py", "models/blocks.py", "models/temporal.py", "losses.py")),
    "STNMamba": (19, ("models/stnmamba.py",)),
    "MSTI-Net": (10, ("models/msti.py",)),
}
"""Numbered equations of each paper, and the files that implement them."""
SMALL = {
    c.name: c.config
    for c in vars(contracts).values()
    if isinstance(c, type) and issubclass(c, ModelContract) and c is not ModelContract
}
LITERAL = {
    "m2s2l.tmb": {"frame", "motion"},
    "m2s2l.literal_separate": {"separate"},
    "stnmamba.literal_memory": {"frame"},
    "stnmamba.literal_separate": {"separate"},
    "msti.literal_compact": {"compact"},
    "memae.address": {"frame", "entropy"},
}
"""What each switch changes at the very least: the prediction, or losses by name. One that stands
in a loss alone must leave the prediction as it is."""


def docstrings(path):
    tree = ast.parse(path.read_text("utf8"))
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
    return "\n".join(ast.get_docstring(n) or "" for n in ast.walk(tree) if isinstance(n, kinds))


def numbers(text):
    """The equations that a text names: "Eq. 4-6", "Eq. 1, 2", "Eq. 7 and 8"."""
    found = set()
    for group in re.findall(r"Eq\.\s+(\d+(?:(?:\s*[-,]\s*|\s+and\s+|\s+to\s+)\d+)*)", text):
        for first, last in re.findall(r"(\d+)(?:\s*-\s*(\d+))?", group):
            found |= set(range(int(first), int(last or first) + 1))
    return found


def test_numbers_of_equations_are_read():
    assert numbers("x (Eq. 4-6) and Eq. 1, 2; Eq. 7 and 9, 12 of these") == {
        1,
        2,
        4,
        5,
        6,
        7,
        9,
        12,
    }


@pytest.mark.parametrize("paper", EQUATIONS)
def test_every_equation_is_named_in_a_docstring(paper):
    count, files = EQUATIONS[paper]
    named = numbers("\n".join(docstrings(SOURCE / file) for file in files))
    assert set(range(1, count + 1)) - named == set()


def test_one_grep_finds_every_deviation():
    for path in SOURCE.rglob("*.py"):
        text = path.read_text("utf8")
        lines = re.findall(r"DEVIATION(?: \((\d+)\))?:", text)
        numbered = [int(n) for n in lines if n]
        assert numbered == list(range(1, len(numbered) + 1)), path
        for n in re.findall(r"DEVIATION \((\d+)\)(?!:)", text):  # what is referred to is there
            assert int(n) in numbered, path
    for module in {entry.module for entry in MODELS.values()}:
        assert "DEVIATION" in (import_module(module).__doc__ or ""), module


def switches():
    for name, config in SMALL.items():
        for switch in literal_switches(type(default_config(name))):
            key, value = switch.split("=")
            short = MODELS[name].module.rsplit(".", 1)[1]
            yield pytest.param(
                name, config, key, True if value == "true" else value, id=f"{short}.{key}"
            )


def test_every_literal_switch_is_in_the_table():
    assert {param.id for param in switches()} == set(LITERAL)


@pytest.mark.parametrize(("name", "config", "key", "value"), list(switches()))
def test_a_literal_switch_changes_what_it_says(name, config, key, value, request):
    seen = {}
    base = default_config(name)
    for taken in (False, True):
        chosen = {**base.model_dump(), **config, **({key: value} if taken else {})}
        torch.manual_seed(0)
        net = build(name, type(base).read(chosen)).eval()
        clip = video(1, net.history + 2, net.size, 2)
        out = net(clip[:, :-1])
        seen[taken] = {name: float(x.detach()) for name, x in net.losses(out, clip).items()}
        seen[taken] |= {"frame": out.frame.detach().flatten()}
        seen[taken] |= {"motion": None if out.motion is None else out.motion.detach().flatten()}
    wanted = LITERAL[request.node.callspec.id]

    def same(part):
        a, b = seen[False][part], seen[True][part]
        if a is None:
            return True
        return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b

    changed = {part for part in seen[False] if not same(part)}
    assert wanted <= changed
    if wanted & {"frame", "motion"} == set():
        assert changed == wanted
