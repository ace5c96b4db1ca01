"""ROC curves: a chart per protocol, every area in the legend and in words."""

import re

import numpy as np

from oddframe.judging.judge import Roc
from oddframe.report.roc import DRAWN, roc_charts


def one(method, auc, protocol="deploy", floor=False, macro=False):
    return Roc(
        method, protocol, floor, auc, np.array([0, 0.25, 1.0]), np.array([0, 0.5, 1.0]), macro
    )


def words(html):
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def test_a_chart_per_protocol_with_every_area():
    html = roc_charts(
        [one("net", 0.914), one("flow", 0.9, floor=True), one("net", 0.7, "paper & co")]
    )
    assert re.findall(r"<h3>(.*?)</h3>", html) == ["deploy", "paper &amp; co"]
    assert html.count('role="img"') == 2
    assert "net (91.4) flow (90.0) floor" in words(html)
    assert "M0 10000 2500 5000 10000 0" in html
    assert 'data-name="net"' in html


def test_the_areas_are_told_to_those_who_do_not_see_the_picture():
    html = roc_charts([one("a<b", 0.914), one("flow", 0.9, floor=True)])
    label, ident = re.search(r'aria-label="([^"]+)" aria-describedby="([^"]+)"', html).groups()
    assert label == "ROC curves under deploy"
    told = re.search(rf'<desc id="{ident}">(.*?)</desc>', html).group(1)
    assert told == "Area under the curve: a&lt;b 91.4 %, flow 90.0 %."
    assert 'tabindex="0"' in html


def test_chance_is_drawn_and_not_read_out():
    html = roc_charts([one("net", 0.9)])
    assert '<path id="roc0-0" class="line chance" d="M0 10000 10000 0"/>' in html


def test_what_no_colour_is_left_for_is_named_and_floors_go_first():
    floors = [one(f"floor{i}", 0.5 + i / 100, floor=True) for i in range(4)]
    nets = [one(f"net{i}", 0.9) for i in range(4)]
    html = roc_charts([*floors, *nets])
    drawn = re.findall('data-name="(.*?)"', html)
    assert drawn == ["net0", "net1", "net2", "net3", "floor3", "floor2"]
    assert len(drawn) == DRAWN
    assert "Not drawn: floor1 (51.0), floor0 (50.0)." in words(html)


def test_a_method_has_one_colour_in_all_charts():
    first = [one("a", 0.9), one("low", 0.6, floor=True), one("high", 0.8, floor=True)]
    second = [one("low", 0.9, "paper", floor=True), one("b", 0.5, "paper"), one("a", 0.5, "paper")]
    html = roc_charts([*first, *second])
    drawn = re.findall('class="line (s\\d)" data-name="(.*?)"', html)
    assert drawn[:3] == [("s0", "a"), ("s2", "low"), ("s3", "high")]
    assert drawn[3:] == [("s0", "a"), ("s1", "b"), ("s2", "low")]


def test_a_mean_over_videos_is_not_taken_for_the_area():
    assert "average the videos" in roc_charts([one("net", 0.9, macro=True)])
    assert "average the videos" not in roc_charts([one("net", 0.9)])


def test_no_curves_are_no_section():
    assert roc_charts([]) == ""
