"""What models are of their papers: every equation held by a test, every gap marked, the prints."""

import ast
import json
import re
from importlib import import_module
from pathlib import Path

import pytest
import test_model_contract  # noqa: F401  its classes are the small configurations
import torch
from contract import ModelContract, video

import oddframe
from oddframe.config import PaperConfig
from oddframe.models import MODELS, build, default_config
from oddframe.models.info import literal_switches
from oddframe.train.fit import configs

SOURCE = Path(oddframe.__file__).parent
COUNT = {"M2S2L": 9, "STNMamba": 19, "MSTI-Net": 10}
"""Numbered equations of each paper."""
FILES = {
    "M2S2L": ("models/m2s2l.py", "models/blocks.py", "models/temporal.py", "losses.py"),
    "STNMamba": ("models/stnmamba.py",),
    "MSTI-Net": ("models/msti.py",),
}
"""The files that implement them."""
EQUATIONS = {
    "M2S2L": {
        1: "test_m2s2l_equations.test_one_5x5_kernel_equals_three_convolutions_and_the_residual",
        2: "test_m2s2l_equations.test_scale_weights_and_resize",
        3: "test_m2s2l_equations.test_scale_weights_and_resize",
        4: "test_m2s2l_equations.test_tmb_is_a_loop_over_time_on_differences_plus_positions",
        5: "test_m2s2l_equations.test_tmb_is_a_loop_over_time_on_differences_plus_positions",
        6: "test_m2s2l_equations.test_tmb_is_a_loop_over_time_on_differences_plus_positions",
        7: "test_paper_equations.test_l_frame_is_eq_7",
        8: "test_paper_equations.test_l_motion_is_eq_8",
        9: "test_paper_equations.test_l_separate_is_eq_9_and_our_form_of_it",
        "score": "test_paper_equations.test_the_score_of_m2s2l_is_that_of_section_ii_f",
    },
    "STNMamba": {
        1: "test_paper_equations.test_stnmamba_vssb_is_eq_1",
        2: "test_stnmamba.test_ms_vssb_is_eq_2",
        3: "test_stnmamba.test_ca_vssb_is_eq_3",
        4: "test_stnmamba.test_stfb_is_eq_4_to_6",
        5: "test_stnmamba.test_stfb_is_eq_4_to_6",
        6: "test_stnmamba.test_stfb_is_eq_4_to_6",
        7: "test_stnmamba.test_the_memory_reads_as_eq_7_to_11",
        8: "test_stnmamba.test_the_memory_reads_as_eq_7_to_11",
        9: "test_stnmamba.test_the_memory_reads_as_eq_7_to_11",
        10: "test_stnmamba.test_the_memory_writes_as_eq_10",
        11: "test_stnmamba.test_the_memory_reads_as_eq_7_to_11",
        12: "test_paper_equations.test_stnmamba_is_trained_as_eq_12_to_15",
        13: "test_paper_equations.test_stnmamba_is_trained_as_eq_12_to_15",
        14: "test_paper_equations.test_stnmamba_is_trained_as_eq_12_to_15",
        15: "test_paper_equations.test_stnmamba_is_trained_as_eq_12_to_15",
        16: "test_paper_equations.test_the_score_of_stnmamba_is_eq_16_to_19",
        17: "test_paper_equations.test_the_score_of_stnmamba_is_eq_16_to_19",
        18: "test_paper_equations.test_the_score_of_stnmamba_is_eq_16_to_19",
        19: "test_paper_equations.test_the_score_of_stnmamba_is_eq_16_to_19",
    },
    "MSTI-Net": {
        1: "test_msti.test_astfm_is_eq_1_to_3",
        2: "test_msti.test_astfm_is_eq_1_to_3",
        3: "test_msti.test_astfm_is_eq_1_to_3",
        4: "test_msti.test_a_read_is_eq_4",
        5: "test_msti.test_a_write_is_eq_5",
        6: "test_paper_equations.test_msti_net_is_trained_as_eq_6_to_9",
        7: "test_paper_equations.test_msti_net_is_trained_as_eq_6_to_9",
        8: "test_paper_equations.test_msti_net_is_trained_as_eq_6_to_9",
        9: "test_paper_equations.test_msti_net_is_trained_as_eq_6_to_9",
        10: "test_paper_equations.test_the_score_of_msti_net_is_minus_eq_10",
    },
}
"""The test that computes each equation once more from its print; `test_misreadings` has for each
one a reading that this test must not pass."""
SMALL = {
    c.name: c.config
    for c in reversed(ModelContract.__subclasses__())  # of two for one model the first
    if not c.config.get("literal")
}
LITERAL = {
    "m2s2l.ms_position": {"picture", "moving"},
    "m2s2l.tmb": {"picture", "moving"},
    "m2s2l.specific": {"picture", "moving", "separate"},
    "m2s2l.literal_separate": {"separate"},
    "m2s2l.detail_frames": {"picture", "moving"},
    "m2s2l.lambda_motion": {"motion"},
    "m2s2l.memory_read": {"picture", "moving"},
    "m2s2l.memory_write": {"items"},
    "m2s2l.memory_start": {"items"},
    "m2s2l.memory_revive": set(),  # not before an item was idle for long: test_memory
    "m2s2l.memory_temperature": {"picture", "moving"},
    "m2s2l.lambda_gradient": {"gradient"},
    "m2s2l.lambda_ssim": {"ssim"},
    "stnmamba.literal_memory": {"picture"},
    "stnmamba.literal_separate": {"separate"},
    "stnmamba.head": {"picture"},
    "msti.memory_temperature": {"picture"},
    "msti.memory_write": {"items"},
    "msti.literal_compact": {"compact"},
    "msti.head": {"picture"},
    "memae.address": {"picture", "entropy"},
    "ffp.lambda_flow": {"flow"},
    "ffp.lambda_adversarial": {"adversarial", "judge"},
}
"""What each switch changes at the very least: the predicted picture or motion, losses by name, or
what a step of training writes. One that stands in a loss alone must leave the rest as it is."""
PREDICTED = {"picture", "moving", "items"}


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


@pytest.mark.parametrize("paper", COUNT)
def test_every_equation_is_named_in_a_docstring(paper):
    named = numbers("\n".join(docstrings(SOURCE / file) for file in FILES[paper]))
    assert set(range(1, COUNT[paper] + 1)) - named == set()


@pytest.mark.parametrize("paper", COUNT)
def test_every_equation_has_a_test(paper):
    assert set(EQUATIONS[paper]) - {"score"} == set(range(1, COUNT[paper] + 1))
    for where in EQUATIONS[paper].values():
        module, name = where.split(".")
        assert (Path(__file__).parent / f"{module}.py").is_file()
        assert name.startswith("test_")
        assert callable(getattr(import_module(module), name))


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


def small(name, **changes):
    base = default_config(name)
    return type(base).read({**base.model_dump(), **SMALL[name], **changes})


def switches():
    """Every field of every `LITERAL` that a size does not have already."""
    for name in SMALL:
        config = small(name)
        table = config.LITERAL if isinstance(config, PaperConfig) else {}
        short = MODELS[name].module.rsplit(".", 1)[1]
        for key, value in table.items():
            if getattr(config, key) != value:
                yield pytest.param(name, key, value, id=f"{short}.{key}")


def test_every_literal_switch_is_in_the_table():
    assert {param.id for param in switches()} == set(LITERAL)


def seen(net):
    """Everything that a switch could change, by name."""
    clip = video(1, net.history + 2, net.size, 2)
    out = net.eval()(clip[:, :-1])
    found = {name: x.detach() for name, x in net.losses(out, clip).items()}
    found["picture"] = out.frame.detach()
    if out.motion is not None:
        found["moving"] = out.motion.detach()
    net.train()(clip[:, :-1])
    items = [b for name, b in net.named_buffers() if name.endswith("items")]
    if items:
        found["items"] = torch.cat([b.flatten() for b in items])
    return found


@pytest.mark.parametrize(("name", "key", "value"), list(switches()))
def test_a_literal_switch_changes_what_it_says(name, key, value, request):
    found = []
    for config in (small(name), small(name, **{key: value})):
        torch.manual_seed(0)
        found.append(seen(build(name, config)))
    plain, literal = found
    changed = {
        part
        for part in plain.keys() | literal.keys()
        if part not in plain or part not in literal or not torch.equal(plain[part], literal[part])
    }
    wanted = LITERAL[request.node.callspec.id]
    assert wanted <= changed
    if not wanted & PREDICTED and key != "lambda_adversarial":  # whose second net takes numbers
        assert not changed & PREDICTED


@pytest.mark.parametrize("name", [n for n in MODELS if hasattr(type(default_config(n)), "LITERAL")])
def test_literal_takes_all_switches_and_survives_a_run_file(name):
    plain, literal = configs(name), configs(name, ["model.literal=true"])
    table = literal.model.LITERAL
    assert {key: getattr(literal.model, key) for key in table} == table
    others = set(type(plain.model).model_fields) - set(table) - {"literal"}
    assert all(getattr(plain.model, key) == getattr(literal.model, key) for key in others)
    again = type(literal.model).read(json.loads(json.dumps(literal.plain()["model"])))
    assert again == literal.model
    assert again.literal
    assert literal_switches(literal.model) == ["literal=true"]  # nothing is left to switch
    named = {switch.partition("=")[0] for switch in literal_switches(plain.model)}
    assert named == {"literal"} | {k for k in table if getattr(plain.model, k) != table[k]}
    assert len(named) > 1
    with torch.device("meta"):
        build(name, literal.model)
