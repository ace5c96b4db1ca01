"""RUNs that come with oddframe are used by their names, and by nobody changed."""

import hashlib
import shutil

import numpy as np
import pytest
from stub_run import write_stub

import oddframe
from oddframe import runs
from oddframe.errors import RunError
from oddframe.metrics import frame_auc
from oddframe.runs import check_own, load_run, shipped


@pytest.fixture
def named(tmp_path, monkeypatch):
    """A folder of RUNs that come with oddframe, with one `street-edge` in it."""
    monkeypatch.setattr(runs, "SHIPPED", tmp_path / "weights")
    return write_stub(tmp_path / "weights" / "street-edge")


def test_a_name_stands_for_its_run(named, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert shipped() == ["street-edge"]
    assert load_run("street-edge").path == named
    shutil.copytree(named, "street-edge")  # a folder of that name is meant first
    assert load_run("street-edge").path.resolve() == tmp_path / "street-edge"


def test_a_wrong_name_lists_them(named, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunError, match=r"street-edg is not a RUN folder.*street-edge"):
        load_run("street-edg")


def test_what_comes_with_oddframe_is_not_written_to(named, tmp_path):
    with pytest.raises(RunError, match="cp -r"):
        check_own(load_run("street-edge"))
    own = tmp_path / "own"
    shutil.copytree(named, own)
    check_own(load_run(own))


@pytest.mark.parametrize("name", ["avenue-edge", "ped2-edge"])
def test_those_of_the_data_sets_are_whole_and_their_cards_are_of_them(name):
    assert name in shipped()
    run = load_run(name)
    assert run.whole
    assert run.threshold is not None
    card = (run.path / "README.md").read_text("utf8")
    for file in ("model.safetensors", "usual.safetensors"):
        assert hashlib.sha256((run.path / file).read_bytes()).hexdigest() in card
    assert f"--seed {run.card['seed']} " in card
    assert f"{run.card['training']['steps']:,} steps" in card
    assert sum(f.stat().st_size for f in run.path.iterdir()) < 5e6  # no picture of any footage


def test_ped2_edge_sees_a_clip_of_ped2_as_its_table_says(real_data):
    root = real_data("ped2")
    found = oddframe.load("ped2-edge").score(root / "testing" / "04.mp4", heat=False)
    score = np.array(found.score)[16:]
    label = np.load(root / "labels.npz")["04"][16:]
    # results/scenes/ped2.m2s2l-edge.default.25m.s1.json
    assert frame_auc([score], [label]) == pytest.approx(0.99905, abs=0.002)
