"""RUNs that come with oddframe are used by their names, and by nobody changed."""

import shutil

import pytest
from stub_run import write_stub

from oddframe import runs
from oddframe.errors import RunError
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
