"""The page: well-formed, self-contained, escaped, and written whole or not at all."""

import contextlib
import dataclasses
import errno
import os
import re
import resource
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from oddframe.errors import RunError
from oddframe.judging.floors import FLOORS
from oddframe.judging.judge import Roc
from oddframe.judging.named import PROTOCOLS
from oddframe.report import table
from oddframe.report.page import Curve, Moment, ReportData, VideoTimeline, render, write_report
from oddframe.report.scores import draw_scores
from oddframe.report.timeline import share_text
from oddframe.scoring.fuse import STREAMS

NAN = float("nan")
EVIL = "<script>alert('x')</script>\"&"
VOID = {"meta", "link", "img", "br", "hr", "input"}
SVG_SELF_CLOSING = {"path", "rect", "use"}


class Balance(HTMLParser):
    """Refuses tags that close something else, ids used twice and what loads from elsewhere."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.links, self.text, self.tags = [], [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self._look(attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        assert tag in SVG_SELF_CLOSING, tag
        self._look(attrs)

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def _look(self, attrs):
        found = dict(attrs)
        self.ids += [found["id"]] if "id" in found else []
        self.links += [found[k] for k in ("href", "src") if k in found]


def parse(html):
    parser = Balance()
    parser.feed(html)
    parser.close()
    assert parser.open == []
    assert len(parser.ids) == len(set(parser.ids))
    for link in parser.links:
        assert link.startswith(("#", "data:")), link
        assert not link.startswith("#") or link[1:] in parser.ids, link
    assert not re.search(r"https?://|//[a-z]+\.|@import|url\((?!#)", html)
    return parser


X = np.linspace(0, 1, 60)


def timeline(name="01", n=60, **changes):
    score = np.abs(np.sin(np.arange(n) / 7.0)) * 4
    score[:16] = NAN
    values = {
        "time_s": np.arange(n) / 10,
        "score": score,
        "labels": np.arange(n) > 40,
        "threshold": 2.0,
        "terms": {EVIL: score},
    }
    return VideoTimeline(name, **(values | changes))


def moment(**changes):
    rng = np.random.default_rng(1)
    values = {
        "image_bgr": rng.integers(0, 255, (48, 64, 3), dtype=np.uint8),
        "heat": rng.random((12, 16), np.float32),
        "truth": np.eye(48, 64, dtype=bool),
        "kind": "hit",
        "video": "01",
        "time_s": 2.0,
    }
    return Moment(EVIL, EVIL, **(values | changes))


def full():
    text = "causal, not normalised"
    return ReportData(
        EVIL,
        EVIL,
        facts={EVIL: EVIL, "parameters": 1234567, "seed": None, "share": np.float32(0.5)},
        curves=[Curve(EVIL, np.arange(300), np.linspace(1, 0, 300)), Curve("b", [0, 1], [NAN, 2])],
        timelines=[timeline(), timeline(EVIL), *(timeline(f"x{i}", paper=X) for i in range(14))],
        paper_curve=EVIL,
        rocs=[Roc(EVIL, EVIL, True, 0.5, X[[0, -1]], X[[0, -1]])],
        moments=[moment(), moment(kind="miss", heat=None), moment(truth=None, video="")],
        rows=[
            {"method": EVIL, "protocol": "deploy", "auc": 0.971, "protocol_text": text},
            {"method": "persistence", "protocol": "deploy", "auc": 0.8, "protocol_text": text},
            {"method": "mine", "protocol": "deploy", "auc": 0.9, "floor": True, "eer": 0.1},
            {"method": "m", "protocol": "macro", "auc": NAN, "note": EVIL, "fps": 3.2},
            {},
        ],
        notes=[EVIL],
        localisation=0.8,
        frames_per_s=62.0,
    )


def test_the_full_page_is_balanced_self_contained_and_escaped():
    html = render(full())
    parser = parse(html)
    assert parser.tags.count("script") == 1
    assert "<script>alert" not in html
    assert EVIL in "".join(parser.text)
    assert "default-src 'none'" in html


def test_the_same_data_gives_the_same_page():
    assert render(full()) == render(full())


def test_a_page_of_nothing_says_so():
    parser = parse(render(ReportData("empty")))
    assert "Nothing was recorded" in " ".join(parser.text)


def test_the_papers_curve_stands_below_the_causal_one_with_the_same_truth():
    html = render(ReportData("t", timelines=[timeline(paper=X)], paper_curve="normality score S"))
    score, paper = (m for m in re.findall(r'<div class="plot (?:low)?".*?</svg>', html))
    truth = re.compile(r'<rect class="band truth" x="(\d+)" y="0" width="(\d+)"')
    assert truth.findall(score) == truth.findall(paper) != []
    assert 'data-name="normality score S"' in paper
    assert 'aria-label="normality score S by the model' in paper
    assert "it looks ahead, the score does not" in html
    assert "looks ahead" not in render(ReportData("t", timelines=[timeline()]))


EMPTY = np.zeros(0)


@pytest.mark.parametrize(
    "changes",
    [
        {"score": np.full(60, NAN)},
        {"score": np.zeros(60)},
        {"score": np.full(60, np.inf)},
        {"labels": None},
        {"labels": np.ones(60, bool)},
        {"labels": np.zeros(60, np.int64)},
        {"threshold": None},
        {"threshold": NAN},
        {"threshold": 0.0},
        {"threshold": -1e9},
        {"terms": {}},
        {"paper": np.full(60, NAN)},
        {"paper": np.linspace(-3, 2, 60)},
        {"time_s": np.zeros(60)},
        {"time_s": EMPTY, "score": EMPTY, "labels": EMPTY, "terms": None},
        {"time_s": [0.0], "score": [1.0], "labels": [True], "terms": None},
    ],
    ids=lambda c: ", ".join(f"{k} {np.ravel(v)[:1] if v is not None else v}" for k, v in c.items()),
)
def test_odd_timelines_still_make_a_page(changes):
    parse(render(ReportData("t", timelines=[timeline(**changes), timeline("02")])))
    parse(render(ReportData("t", timelines=[timeline(**changes)])))


@pytest.mark.parametrize(
    "curve",
    [
        Curve("none", EMPTY, EMPTY),
        Curve("nan", np.arange(3.0), np.full(3, NAN)),
        Curve("zero", np.arange(3.0), np.zeros(3)),
        Curve("negative", np.arange(3.0), np.array([-1.0, 2.0, -3.0])),
        Curve("one", np.array([5.0]), np.array([0.3])),
    ],
    ids=lambda c: c.name,
)
def test_odd_curves_still_make_a_page(curve):
    parse(render(ReportData("t", curves=[curve])))


def test_a_long_video_stays_small():
    n = 100_000
    rng = np.random.default_rng(0)
    video = timeline(
        time_s=np.arange(n) / 25, score=rng.random(n), labels=rng.random(n) > 0.5, terms=None
    )
    assert len(render(ReportData("t", timelines=[video]))) < 80_000


def test_series_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="one length"):
        timeline(score=np.zeros(59))
    with pytest.raises(ValueError, match="one length"):
        timeline(paper=np.zeros(59))
    with pytest.raises(ValueError, match="one length"):
        Curve("a", [1.0], [1.0, 2.0])


def test_the_summary_compares_the_model_with_the_best_floor_of_its_protocol():
    text = re.sub(r"<[^>]+>", " ", render(full()))
    assert "97.1" in text
    assert "mine; the model is 7.1 points above it" in text


def test_a_model_below_the_floor_is_said_to_be_weak():
    rows = [
        {"method": "net", "protocol": "deploy", "auc": 0.7},
        {"method": "flowspeed", "protocol": "deploy", "auc": 0.9},
        {"method": "net", "protocol": "paper", "auc": 0.99},
    ]
    html = render(ReportData("t", rows=rows))
    assert "does not clear the floor flowspeed" in html
    assert "20.0 points below it" in html


def test_the_named_method_is_the_headline_even_when_another_scores_higher():
    rows = [
        {"method": "other", "protocol": "deploy", "auc": 0.9},
        {"method": "mine", "protocol": "paper", "auc": 0.7},
        {"method": "mine", "protocol": "deploy", "auc": 0.6},
    ]
    data = ReportData("t", method="mine", rows=rows)
    assert table.headline(data) == rows[2]
    assert table.headline(dataclasses.replace(data, method="absent")) is None


def test_every_auc_carries_its_protocol_text_or_a_warning():
    html = table.results_table(
        [
            {"method": "a", "protocol": "p", "auc": 0.5, "protocol_text": "the words"},
            {"method": "a", "protocol": "q", "auc": 0.5},
        ]
    )
    assert html.count("the words") == 1
    assert html.count("do not compare these numbers") == 1


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0"), (0.00001, "<0.01"), (0.0004, "0.04"), (0.05, "5"), (0.5, "50"), (0.999, ">99")],
)
def test_shares_never_round_to_nothing_or_all(share, text):
    assert share_text(share) == text
    assert share_text(1.0) == "100"


def test_one_class_videos_are_named_as_a_weakness():
    data = ReportData("t", timelines=[timeline(), timeline("2", labels=np.ones(60))])
    assert "1 of 2 test videos hold" in render(data)


def test_writing_replaces_the_file_and_leaves_nothing_else(tmp_path):
    target = tmp_path / "deep" / "report.html"
    write_report(target, ReportData("first"))
    assert write_report(target, ReportData("second")) == target
    assert "second" in target.read_text("utf-8")
    assert os.listdir(target.parent) == ["report.html"]
    assert target.stat().st_mode & 0o444 == 0o444


@contextlib.contextmanager
def tiny_files():
    """Every write past 4 kB of a file fails, as on a disk that fills up half-way.

    A context and no fixture: pytest's own output may be a file that is longer than that.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def still_old(folder, error):
    assert "\n" not in str(error.value)
    assert "old" in (folder / "report.html").read_text("utf-8")
    assert os.listdir(folder) == ["report.html"]


def test_a_write_that_fails_half_way_leaves_no_trace(tmp_path):
    write_report(tmp_path / "report.html", ReportData("old"))
    with (
        tiny_files(),
        pytest.raises(RunError, match=r"Cannot write .*: File too large") as error,
    ):
        write_report(tmp_path / "report.html", ReportData("new"))
    still_old(tmp_path, error)


def test_a_failing_rename_keeps_the_old_report(tmp_path, monkeypatch):
    write_report(tmp_path / "report.html", ReportData("old"))

    def fail(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(RunError, match="No space left on device") as error:
        write_report(tmp_path / "report.html", ReportData("new"))
    still_old(tmp_path, error)


def test_a_name_that_is_no_utf8_does_not_cost_the_report(tmp_path):
    name = os.fsdecode(b"caf\xe9")
    path = write_report(tmp_path / "r.html", ReportData("t", timelines=[timeline(name)]))
    assert "caf?" in path.read_text("utf-8")


def test_a_folder_in_the_way_is_explained(tmp_path):
    with pytest.raises(RunError, match="Cannot write"):
        write_report(tmp_path, ReportData("t"))
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunError, match="Cannot write"):
        write_report(tmp_path / "file" / "report.html", ReportData("t"))


def test_videos_whose_names_look_alike_as_files_have_a_picture_each(tmp_path):
    names = ("a/b", "a_b", os.fsdecode(b"caf\xe9"))
    scores = {name: np.arange(4.0) for name in names}
    made = draw_scores(tmp_path / "new", {"m": scores}, {n: np.array([0, 1, 1, 0]) for n in names})
    assert [path.name for path in made] == ["a_b.svg", "a_b_.svg", "caf_.svg"]
    assert [name in path.read_text() for path, name in zip(made, names, strict=True)] == [
        True, True, False
    ]  # fmt: skip
    with tiny_files(), pytest.raises(RunError, match="Cannot write"):
        draw_scores(tmp_path / "full", {"m": {"v": np.zeros(9999)}}, {"v": np.zeros(9999, int)})
    assert not list((tmp_path / "full").iterdir())


# ---- words


def test_every_name_in_a_table_is_explained():
    rows = [
        {"method": name, "protocol": "deploy", "auc": 0.8, "floor": True, "protocol_text": "x"}
        for name in FLOORS
    ]
    rows += [
        {"method": f"net{part}", "protocol": protocol, "auc": 0.9, "protocol_text": text}
        for protocol, text, parts in (
            ("deploy", PROTOCOLS["deploy"].text, ["", ":own", *(f":{s}" for s in STREAMS)]),
            ("paper", PROTOCOLS["paper"].text, [""]),
        )
        for part in parts
    ]
    html = render(ReportData("t", method="net", rows=rows))
    named = re.findall(
        r'<th scope="row">([^<]+?)(?: <span[^<]+</span>)?<small>([^<]+)</small>', html
    )
    assert len(named) == len(rows), "each has its words"
    said = dict(named)
    assert said["net:own"] != said["net"] != said["net:flow"]
    both = [words for name, words in named if name == "net"]
    assert sorted(both) == ["all its streams together", "the score of its paper"]
    for word in ("AUC", "floor", "protocol deploy", "protocol paper", "level"):
        assert f"<dt>{word}</dt>" in html


def test_a_table_mixes_no_percent_and_fractions_and_says_counts_once():
    row = {
        "method": "net", "protocol": "deploy", "auc": 0.9712, "auc_low": 0.91, "auc_high": 0.993,
        "tpr": 0.61, "macro_auc": 0.95, "frames": 1818, "abnormal": 1536, "videos": 12,
        "protocol_text": "causal score", "labels": "labels.npz",
    }  # fmt: skip
    html = table.results_table([row, {**row, "method": "other", "auc": 0.5}])
    assert html.count("91.0 to 99.3") == 2
    assert html.count("1,818 frames, 1,536 abnormal, 12 videos") == 1
    assert "found at 1 % false %" in html
    assert not re.search(r">0\.\d", html)


def test_model_and_floors_of_a_protocol_share_a_table_and_each_has_its_text():
    html = table.results_table(
        [
            {"method": "net", "protocol": "deploy", "auc": 0.9, "protocol_text": "with weights"},
            {"method": "flowspeed", "protocol": "deploy", "auc": 0.8, "protocol_text": "without"},
        ]
    )
    assert html.count("<table>") == 1
    assert "<b>net</b>: with weights" in html
    assert "<b>floors</b>: without" in html


def test_whoever_cannot_see_hears_other_words_for_every_picture_and_chart():
    html = render(full())
    alts = re.findall(r'<img [^>]*alt="([^"]+)"', html)
    assert len(alts) == len(set(alts)) > 3
    plots = re.findall(r'<div class="plot[^>]*>', html)
    assert plots
    for plot in plots:
        assert 'role="group"' in plot
        assert re.search(r'aria-label="[^"]+"', plot)
    # what scrolls can be reached by keys
    assert 'role="region" aria-label="Results under deploy" tabindex="0"' in html


def test_the_first_tile_says_what_it_is_and_no_hash():
    rows = [
        {"method": "net", "protocol": "deploy", "auc": 0.9, "protocol_text": "causal; " + 40 * "x "}
    ]
    tile = re.search(r'<div class="tile.*?</div>', render(ReportData("t", rows=rows)))[0]
    assert "as a camera gets it" in tile
    assert "x x" not in tile
