"""An archive that is interrupted, lost in parts, or given other files: the same command goes on."""

import csv
import errno
import hashlib
import json
import os
from dataclasses import replace

import numpy as np
import pytest
from archiving import Here

from oddframe import atomic
from oddframe.archive.ledger import Entry, find, folder_of
from oddframe.archive.manifest import FORMAT, manifest_of, read_manifest
from oddframe.atomic import write_json
from oddframe.errors import RunError
from oddframe.runs import load_run


@pytest.fixture(scope="module")
def clips(footage, tmp_path_factory):
    """Two files that are cut in three, and a short one."""
    folder = tmp_path_factory.mktemp("clips")
    for name, frames in (("one", 60), ("two", 60), ("short", 12)):
        footage(folder / f"{name}.mp4", frames)
    return folder


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_files_are_cut_scored_and_counted(archived, light, clips):
    outcome = archived(light, [clips])
    assert sorted(len(archived.files(p)) for p in clips.glob("*.mp4")) == [1, 3, 3]
    assert outcome.frames == 132
    table = {row["file"]: row for row in rows(archived.out / "files.csv")}
    one = table[str(clips / "one.mp4")]
    assert (one["state"], one["frames"], one["segments"], one["done"]) == ("done", "60", "3", "3")
    found = archived.table(clips / "one.mp4")
    assert float(one["top_score"]) == np.nanmax(found["score"])
    assert set(found["file"]) == {str(clips / "one.mp4")}
    assert not (archived.out / "failed.csv").exists()
    last = archived.shown[-1]
    assert (last.done, last.total, last.left_s, last.failed) == (7, 7, 0.0, 0)
    assert last.frames_per_s > 0
    assert any(s.left_s for s in archived.shown)


def test_what_is_done_is_not_done_again(archived, light, clips):
    archived(light, [clips])
    before = archived.content()
    archived(light, [clips])
    assert archived.tasks == []
    assert archived.content() == before


def test_an_archive_that_was_begun_with_allow_short_before_keeps_its_scores(archived, light, clips):
    """`--allow-short` was part of the key then; what has another key is deleted."""
    short = replace(archived.job(light, allow_short=True), key="")
    asked = manifest_of(load_run(light), short, ()).plain()
    plain = {"format": FORMAT, "run": asked["run"]["parts"], "settings": asked["settings"]}
    key = hashlib.blake2b(json.dumps(plain, sort_keys=True).encode(), digest_size=8).hexdigest()
    write_json(archived.out / "manifest.json", {**asked, "key": key})
    archived(light, [clips / "short.mp4"], allow_short=True)
    archived(light, [clips / "short.mp4"])
    assert archived.tasks == []
    assert read_manifest(archived.out).key == key
    assert archived.files(clips / "short.mp4")


def stops_before(count):
    """What is called before each segment; it interrupts the one after `count`."""
    left = [count]

    def before(task):
        if task.segment is not None:
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt

    return before


@pytest.mark.parametrize("count", [0, 4])
def test_an_interrupted_one_goes_on_to_the_same(archived, light, clips, count, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        archived(light, [clips], before=stops_before(count))
    assert len(archived.content()) == count
    assert sum(row["state"] == "missing" for row in rows(archived.out / "files.csv")) > 0
    archived(light, [clips])
    again = [t for t in archived.tasks if t.segment is not None]
    assert len(again) == 7 - count
    whole = archived.content()
    archived.out = tmp_path / "undisturbed"
    archived(light, [clips])
    assert archived.content() == whole


def damaged(path):
    path.write_bytes(path.read_bytes()[:-20])


def emptied(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("loss", [os.unlink, damaged, emptied], ids=lambda f: f.__name__)
def test_a_lost_or_damaged_segment_is_done_again_and_no_other(archived, light, clips, loss):
    archived(light, [clips])
    before = archived.content()
    lost = archived.files(clips / "two.mp4")[1]
    loss(lost)
    (lost.parent / f".{lost.name}.xyz").write_bytes(b"half-written")
    archived(light, [clips])
    assert [t.segment.name for t in archived.tasks] == [lost.stem]
    assert archived.content() == before
    assert not list(lost.parent.glob(".*"))


def test_more_files_may_come_and_a_changed_one_is_another(archived, light, footage, tmp_path):
    folder = tmp_path / "growing"
    footage(folder / "a.mp4", 12)
    archived(light, [folder])
    footage(folder / "b.mp4", 12)
    archived(light, [folder])
    assert {t.file.stem for t in archived.tasks} == {"b"}
    footage(folder / "a.mp4", 20)
    archived(light, [folder / "a.mp4"])
    assert {t.file.stem for t in archived.tasks} == {"a"}
    assert len(archived.table(folder / "a.mp4")["score"]) == 20
    known = json.loads((archived.out / "manifest.json").read_text())["files"]
    assert len(known) == 2


def test_tables_are_of_all_files_that_were_ever_asked_for(archived, light, clips, tmp_path):
    (tmp_path / "text.mp4").write_text("no video")
    archived(light, [clips / "one.mp4", tmp_path / "text.mp4"])
    archived(light, [clips / "short.mp4"])
    states = {row["file"]: row["state"] for row in rows(archived.out / "files.csv")}
    assert states == {
        str(clips / "one.mp4"): "done", str(tmp_path / "text.mp4"): "failed",
        str(clips / "short.mp4"): "done",
    }  # fmt: skip
    assert [r["file"] for r in rows(archived.out / "failed.csv")] == [str(tmp_path / "text.mp4")]


def test_files_that_are_cut_short_may_be_taken_later(archived, light, clips, footage, tmp_path):
    cut = footage(tmp_path / "cut.mkv", 150)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    archived(light, [clips / "short.mp4", cut])
    archived(light, [clips / "short.mp4", cut], allow_short=True)
    assert {t.file.stem for t in archived.tasks} == {"cut"}
    assert not (archived.out / "failed.csv").exists()
    archived(light, [clips / "short.mp4"])
    assert archived.tasks == []
    assert json.loads((archived.out / "manifest.json").read_text())["settings"]["allow_short"]


def test_unreadable_files_are_named_and_cost_nothing_else(
    archived, light, clips, footage, tmp_path
):
    bad = tmp_path / "bad"
    cut = footage(bad / "cut.mkv", 150)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    (bad / "text.mp4").write_text("no video")
    names = tmp_path / "list.txt"
    names.write_text(f"{bad / 'gone.mp4'}\n{cut}\n{bad / 'text.mp4'}\n{clips / 'short.mp4'}\n")
    outcome = archived(light, [names])
    why = {os.path.basename(row["file"]): row["why"] for row in rows(archived.out / "failed.csv")}
    assert set(why) == {"gone.mp4", "cut.mkv", "text.mp4"}
    assert "does not exist" in why["gone.mp4"]
    assert "bytes are missing" in why["cut.mkv"]
    assert "no video" in why["text.mp4"]
    assert [e.file.stem for e in outcome.entries if e.whole] == ["short"]
    archived(light, [names], allow_short=False)
    assert {t.file.stem for t in archived.tasks} == {"gone", "cut", "text"}  # tried again


def test_a_broken_picture_in_a_folder_costs_its_segment(archived, light, write_street, tmp_path):
    folder = write_street(tmp_path / "frames", range(60))
    (folder / "0030.png").write_bytes(b"")
    outcome = archived(light, [folder])
    assert len(archived.files(folder)) == 2
    assert [f.start for f in outcome.failures] == [20]
    assert rows(archived.out / "failed.csv")[0]["from_frame"] == "20"


def test_a_full_disk_is_one_error_and_what_is_done_stays(archived, light, clips, monkeypatch):
    real, left = atomic.flush, [3]

    def full(path):
        left[0] -= ".parquet." in path.name
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(path)

    monkeypatch.setattr(atomic, "flush", full)
    with pytest.raises(RunError, match=r"No space left.*same command again"):
        archived(light, [clips])
    assert len(archived.content()) == 3
    assert not list(archived.out.rglob(".*"))
    monkeypatch.undo()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    archived(light, [clips])
    assert len(archived.content()) == 7


def test_anything_unexpected_in_one_file_is_that_files(archived, light, clips, monkeypatch):
    import oddframe.archive.score as score

    real = score.score_segment

    def strange(detector, source, segment):
        if source.info.name == "one":
            raise ZeroDivisionError("of nobody's making")
        return real(detector, source, segment)

    monkeypatch.setattr(score, "score_segment", strange)
    outcome = archived(light, [clips])
    assert {f.file.stem for f in outcome.failures} == {"one"}
    assert "ZeroDivisionError" in outcome.failures[0].why


def other(run, change):
    card = json.loads((run / "model.json").read_text())
    change(card)
    write_json(run / "model.json", card)


FOREIGN = {
    "another threshold": (lambda c: c["calibration"].update(threshold=2.0), {}, "its threshold"),
    "another rate": (lambda c: c.update(fps=7.0), {}, "its rate"),
    "another cut": (lambda c: None, {"segment_s": 2.0}, r"--segment 0\.8 there, 2\.0 now"),
    "another precision": (lambda c: None, {"precision": "bfloat16"}, "--precision"),
}


@pytest.mark.parametrize("how", FOREIGN, ids=str)
def test_a_folder_of_another_run_or_cut_is_refused(archived, light, clips, tmp_path, how):
    import shutil

    archived(light, [clips / "short.mp4"])
    before = archived.content()
    change, options, said = FOREIGN[how]
    run = shutil.copytree(light, tmp_path / "RUN")
    other(run, change)
    with pytest.raises(RunError, match=said):
        archived(run, [clips / "short.mp4"], **options)
    assert archived.content() == before


def test_a_moved_run_is_the_same(archived, light, clips, tmp_path):
    import shutil

    archived(light, [clips / "short.mp4"])
    archived(shutil.copytree(light, tmp_path / "moved"), [clips / "short.mp4"])
    assert archived.tasks == []


def test_a_folder_that_holds_something_else_is_refused(archived, light, clips):
    archived.out.mkdir()
    (archived.out / "holiday.txt").write_text("")
    with pytest.raises(RunError, match="holds something and no manifest"):
        archived(light, [clips])


def test_a_worker_that_sees_another_run_says_so(archived, light, tmp_path):
    import shutil

    job = archived.job(light)
    run = shutil.copytree(light, tmp_path / "RUN")
    other(run, lambda c: c.update(fps=7.0))
    with pytest.raises(RunError, match="not the RUN that the archive was begun with"):
        Here(type(job)(**{**{n: getattr(job, n) for n in job.__slots__}, "run": str(run)}))


def test_names_of_folders_can_be_told_apart(light, archived, footage, tmp_path):
    """Files of one name in two folders, and a name that is none for a folder."""
    for name in ("x/cam 1.mp4", "y/cam 1.mp4", "x/кам.mp4"):
        footage(tmp_path / name, 8)
    outcome = archived(light, [tmp_path / "x", tmp_path / "y"])
    folders = {folder_of(archived.out, e.file).name for e in outcome.entries}
    assert len(folders) == 3
    assert sum(f.startswith("cam-1-") for f in folders) == 2


def test_what_cannot_be_read_for_a_moment_is_not_deleted(archived, light, clips, monkeypatch):
    """A share that is away gives errors, and its files are there again a minute later."""
    archived(light, [clips])
    before = archived.content()

    def away(path):
        raise OSError(errno.EIO, "Input/output error", str(path))

    with monkeypatch.context() as patch:
        patch.setattr("oddframe.archive.ledger.read_facts", away)
        with pytest.raises(RunError, match=r"cannot be read now \(Input/output error\)"):
            archived(light, [clips])
    assert archived.content() == before
    archived(light, [clips])
    assert archived.tasks == []


def test_results_wait_where_a_plan_is_lost(archived, light, clips):
    archived(light, [clips / "one.mp4"])
    [file] = read_manifest(archived.out).files
    folder = folder_of(archived.out, file)
    (folder / "plan.json").unlink()
    (folder / "@eaDir").mkdir()  # what a NAS leaves
    kept = sorted(folder.glob("*.parquet"))
    assert not find(archived.out, read_manifest(archived.out).key, file).facts
    assert sorted(folder.glob("*.parquet")) == kept
    archived(light, [clips / "one.mp4"])
    assert len(archived.files(clips / "one.mp4")) == 3


def test_a_kill_as_the_manifest_is_written_first_leaves_a_folder_to_begin_in(
    archived, light, clips
):
    archived.out.mkdir(exist_ok=True)
    (archived.out / ".manifest.json.x7a").write_text("{")
    (archived.out / ".oddframe-try").touch()
    archived(light, [clips / "short.mp4"])
    assert archived.files(clips / "short.mp4")


def test_the_highest_level_is_not_always_that_of_the_highest_score():
    """By night another threshold holds."""
    facts = {
        "day": {"top": {"frame": 3, "time_s": 0.3, "score": 5.0, "level": 0.5}},
        "night": {"top": {"frame": 9, "time_s": 0.9, "score": 4.0, "level": 2.0}},
        "dark": {"top": None},
    }
    assert Entry(None, None, facts).top["level"] == 2.0
    for one in ("day", "night"):
        facts[one]["top"]["level"] = None
    assert Entry(None, None, facts).top["score"] == 5.0
