"""Detections and tracks as text: what comes back, and what is refused with its line."""

from __future__ import annotations

import pytest

from oddframe.errors import ProtocolError
from oddframe.metrics import read_detections, read_tracks, region_criteria


def test_text_files_come_back(tmp_path):
    path = tmp_path / "01.txt"
    path.write_text("# frame,x1,y1,x2,y2,score\n3, 1,2,3.5,4,0.25\n\n0\t1 2 3 4 -1e3 # low\r\n")
    found = read_detections(path)
    assert found.frame.tolist() == [3, 0]
    assert found.box.tolist() == [[1, 2, 3.5, 4], [1, 2, 3, 4]]
    assert found.score.tolist() == [0.25, -1000]
    path.write_text("car 1 0 0 2 2\n7,1,5,5,6,6\ncar,2,0,0,3,3\n")
    car, seven = read_tracks(path)
    assert (car.frame.tolist(), seven.frame.tolist()) == ([1, 2], [1])
    assert car.box.tolist() == [[0, 0, 2, 2], [0, 0, 3, 3]]
    path.write_text("# nothing\n")
    assert read_detections(path).box.shape == (0, 4)
    assert read_tracks(path) == []
    score = region_criteria({"v": read_detections(path)}, {"v": [car]}, {"v": 3})
    assert score.rbdc == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0,1,2,3,4", "line 1: expected 6 values, frame,x1,y1,x2,y2,score; found 5"),
        ("#\n0,,1,2,3,4,5", "line 2: expected 6 values"),
        ("0,1,2,3,,5", "line 1: expected 6 values"),
        ("0,1,2,3,4,high", "line 1: score is 'high'"),
        ("0,1,2,3,4,nan", "line 1: score is 'nan'"),
        ("0,1,inf,3,4,1", "line 1: y1 is 'inf'"),
        ("1.5,1,2,3,4,1", "line 1: frame is '1.5'"),
        ("-1,1,2,3,4,1", "line 1: frame is '-1'"),
        ("0,5,2,3,4,1", "line 1: the box 5,2,3,4 is empty"),
        ("0,3,2,3,4,1", "line 1: the box 3,2,3,4 is empty"),
        ("0,1,4,3,4,1", "line 1: the box 1,4,3,4 is empty"),
    ],
)
def test_unfit_lines_are_named(tmp_path, text, message):
    path = tmp_path / "02.csv"
    path.write_text(text)
    with pytest.raises(ProtocolError) as error:
        read_detections(path)
    assert f"{path}, {message}" in str(error.value)


def test_unfit_files_are_refused(tmp_path):
    path = tmp_path / "t.txt"
    path.write_text("1,0,0,0,1,1\n1,0,0,0,2,2\n")
    with pytest.raises(ProtocolError, match="line 2: track 1 has a second box in frame 0"):
        read_tracks(path)
    path.write_bytes(b"\xff\xfe\x00")
    for unfit in (path, tmp_path, tmp_path / "absent"):
        with pytest.raises(ProtocolError, match="cannot be read"):
            read_tracks(unfit)
