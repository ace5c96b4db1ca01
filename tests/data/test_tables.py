"""CSV as spreadsheets write it: encodings, separators, decimal signs; and folders of a NAS."""

import codecs
import os
import unicodedata
import warnings
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from encoded import encode
from oddframe.data import check_dataset, frame_labels, open_dataset
from oddframe.data.footage import range_in_use, survey
from oddframe.data.tables import Table
from oddframe.errors import DatasetError, OddframeWarning, SourceError
from oddframe.judging.score_files import read_csv_scores
from oddframe.sources import Reading, open_as, open_source
from oddframe.sources.images import ImageFolder

TEXT = "Video;Start_s;End_s\r\nEntrée;0,52;1\r\n"
WRITTEN = {
    "UTF-8": TEXT.encode(),
    "CSV UTF-8": codecs.BOM_UTF8 + TEXT.encode(),
    "Unicode text": TEXT.replace(";", "\t").encode("utf-16"),
    "UTF-16 big endian": codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
    "Windows": TEXT.encode("cp1252"),
    "its own sign": b"sep=;\r\n" + TEXT.encode(),
    "English": b"video,start_s,end_s\nEntr\xc3\xa9e,0.52,1\n",
    "decomposed": unicodedata.normalize("NFD", TEXT).encode(),
    "old Mac": TEXT.replace("\r\n", "\r").encode(),
}


@pytest.fixture
def own(tmp_path):
    (tmp_path / "normal").mkdir()
    (tmp_path / "test").mkdir()
    encode(tmp_path / "normal" / "n.mp4", 30)
    encode(tmp_path / "test" / "Entrée.mp4", 50)
    return tmp_path


@pytest.mark.parametrize("kind", WRITTEN)
def test_labels_in_any_encoding_that_excel_writes(own, kind):
    (own / "labels.csv").write_bytes(WRITTEN[kind])
    found = frame_labels(open_dataset(own))
    assert np.flatnonzero(found["Entrée"]).tolist() == list(range(13, 25))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize(("sign", "text"), [(",", "0.5"), (";", "0,5"), ("\t", "0,5")])
def test_scores_too(tmp_path, encoding, sign, text):
    path = tmp_path / "s.csv"
    path.write_text(f"frame{sign}score\n0{sign}{text}\n1{sign}\n", encoding)
    assert read_csv_scores(path).tolist() == pytest.approx([0.5, np.nan], nan_ok=True)


def test_cells_that_are_missing_are_empty(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b,c\n1,2\n1,2,3,4\n")
    assert [row for _, row in Table(path).rows()] == [
        {"a": "1", "b": "2", "c": ""}, {"a": "1", "b": "2", "c": "3"},
    ]  # fmt: skip
    path.write_text("")
    assert Table(path).names == []


def test_a_stray_quotation_mark_is_named_with_its_line(own):
    (own / "labels.csv").write_text('video,start_s,end_s\n"a.mp4,1,2\n' + "b.mp4,1,2\n" * 20000)
    with pytest.raises(DatasetError, match=r"labels\.csv, line \d+: field larger .* stray quot"):
        frame_labels(open_dataset(own))


# ---- folders


@pytest.mark.parametrize(
    "name",
    ["~snapshot", "Network Trash Folder", "Temporary Items", "RECYCLED", "@sharebin", "@Transcode",
     ".Trash-1000", ".Trashes", ".recycle", ".@__thumb", ".snapshot"],
)  # fmt: skip
def test_more_of_what_systems_leave(own, make_video, name):
    make_video(own / "normal" / name / "gone.avi")
    data = open_dataset(own)
    assert [v.name for v in data.train] == ["n"]
    assert name in data.left_out_text


def test_a_video_that_may_not_be_read_is_left_out(own, make_video, monkeypatch):
    """By every verb, and the check goes on with the others."""
    locked = make_video(own / "normal" / "locked.avi")
    real = os.access
    monkeypatch.setattr(os, "access", lambda p, mode: Path(p) != locked and real(p, mode))
    data = open_dataset(own)
    assert [v.name for v in data.train] == ["n"]
    assert data.unreadable == (locked,)
    found = check_dataset(data).findings
    assert [f.kind for f in found if "locked.avi" in f.text] == ["unreadable"]


def test_kinds_of_recorders_and_what_is_of_no_kind(own):
    from oddframe.sources.names import LARGE

    for suffix in ("asf", "y4m"):
        encode(own / "normal" / f"{suffix}.{suffix}", 12,
               codec="wrapped_avframe" if suffix == "y4m" else "libx264",
               muxer="yuv4mpegpipe" if suffix == "y4m" else None)  # fmt: skip
    encode(own / "plain.mp4", 12)
    odd = (own / "plain.mp4").rename(own / "normal" / "camera.rec")
    odd.write_bytes(odd.read_bytes() + bytes(LARGE))
    (own / "normal" / "notes.rec").write_text("what it is of")
    data = open_dataset(own)
    assert [v.name for v in data.train] == ["asf", "n", "y4m"]
    assert data.left_out_text == "left out 1 large file of no kind that is known (camera.rec)"
    assert any("camera.rec" in note for note in check_dataset(data).notes)
    assert [v.name for v in open_dataset(odd).train] == ["camera"]  # by itself it is tried
    (own / "labels.csv").write_text("video,start_s,end_s\n")
    with pytest.raises(DatasetError, match=r"labels\.csv as a video: .*Expected the root of"):
        open_dataset(own / "labels.csv")


def test_decimal_names_go_by_their_value_in_every_folder(tmp_path):
    for name in ("12.25", "12.5", "9.125"):
        for folder in ("normal", "test", "."):
            (tmp_path / folder).mkdir(exist_ok=True)
            encode(tmp_path / folder / f"{name}.mp4", 6, size=(32, 32))
    data = open_dataset(tmp_path)
    flat = open_dataset(tmp_path / "normal")
    for videos in (data.train, data.test, flat.train):
        assert [v.name for v in videos] == ["9.125", "12.25", "12.5"]


def test_names_that_are_no_decimals_go_as_ever(own):
    for name in ("o_b", "o", "o-2"):
        encode(own / "test" / f"{name}.mp4", 6, size=(32, 32))
    names = [v.name for v in open_dataset(own).test]
    assert names == ["Entrée", "o-2", "o", "o_b"]  # as ever: labels may go by the order


def test_what_a_nas_leaves_is_not_trained_on_and_counted(own, make_video):
    make_video(own / "normal" / "#recycle" / "gone.avi")
    thumbs = own / "normal" / "@eaDir" / "n.mp4"
    thumbs.mkdir(parents=True)
    cv2.imwrite(str(thumbs / "SYNOVIDEO_VIDEO_SCREENSHOT.jpg"), np.zeros((9, 9, 3), np.uint8))
    make_video(own / "test" / "$RECYCLE.BIN" / "gone.avi")
    (own / "test" / "._Entrée.mp4").write_bytes(b"resource fork")
    (own / "labels.csv").write_text("video,start_s,end_s\nEntrée,0,1\n")
    data = open_dataset(own)
    assert [v.name for v in (*data.train, *data.test)] == ["n", "Entrée"]
    assert "left out 4 system entries" in data.left_out_text
    assert "@eaDir" in data.left_out_text
    assert any("left out 4 system entries" in note for note in check_dataset(data).notes)


def test_damage_and_pauses_are_told(own):
    from encoded import break_bytes

    break_bytes(encode(own / "normal" / "bad.mp4", 200, gop=25), 0.45, 0.5)
    stamps = [i / 25 + 60 * (i > 20) for i in range(40)]
    encode(own / "normal" / "paused.mp4", stamps=stamps, rate=25)
    found = check_dataset(open_dataset(own))
    assert [(f.kind, f.video) for f in found.findings] == [("damaged", "train/bad")]
    assert any("train/paused: one pause of 60 s" in note for note in found.notes)


# ---- pictures of 16 bits


@pytest.fixture
def thermal(tmp_path):
    """14 bits of a thermal camera in 16: 1,020 of 65,536 values, one dead pixel."""
    rng = np.random.default_rng(0)
    for name, warmer in (("a", 0), ("b", 200)):
        folder = tmp_path / name
        folder.mkdir()
        for i in range(6):
            image = np.linspace(7500, 8320, 64 * 48).reshape(48, 64) + rng.normal(0, 5, (48, 64))
            image[3, 3] = 65535
            cv2.imwrite(str(folder / f"{i}.tif"), (image + warmer).astype(np.uint16))
    return tmp_path


def test_16_bits_are_scaled_by_the_values_in_use(thermal):
    source = open_source(thermal / "a")
    low, high = source.used
    assert 7300 < low < 7500
    assert 8320 < high < 8500
    image = next(iter(source)).image
    assert len(np.unique(image)) > 180
    assert image[0, 0, 0] < 40
    assert image[-1, -1, 0] > 215


def test_a_run_scales_all_footage_alike(thermal):
    data = open_dataset(thermal)
    used = range_in_use(survey(data.train, 32, lambda done: None))
    assert used[0] < 7500
    assert used[1] > 8500
    both = [next(iter(v.open())).image for v in data.read_as(Reading(used=used)).train]
    assert (both[1].astype(int) - both[0]).mean() > 30  # the second is warmer, and looks it
    alone = [next(iter(v.open())).image for v in data.train]
    assert abs((alone[1].astype(int) - alone[0]).mean()) < 5


def test_a_flat_or_8_bit_picture_does_not_hide_the_others(thermal):
    files = sorted((thermal / "a").iterdir())
    first = cv2.imread(str(files[0]), cv2.IMREAD_UNCHANGED)
    for shown in (np.full_like(first, 7600), np.full(first.shape, 40, np.uint8)):
        cv2.imwrite(str(files[0]), shown)
        source = open_source(thermal / "a")
        assert source.used is not None
        assert 7300 < source.used[0] < 7700
        last = list(source)[-1].image
        assert len(np.unique(last)) > 180
    assert any(
        "16-bit pictures: values from" in n for n in check_dataset(open_dataset(thermal)).notes
    )


def test_values_outside_the_range_of_a_run_are_said(thermal):
    with pytest.warns(OddframeWarning, match="what is outside is cut off"):
        ImageFolder(thermal / "b", used=(7300, 8500))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ImageFolder(thermal / "a", used=(7300, 8700))


@pytest.mark.parametrize(("format", "shift"), [("gray16le", 0), ("gray12le", 3)])
def test_video_of_more_than_8_bits_is_scaled_too(tmp_path, format, shift):
    """A thermal camera's own file; values against the arrays that were written."""
    rng, made = np.random.default_rng(0), []
    with av.open(str(tmp_path / "a.mkv"), "w") as out:
        stream = out.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, format
        for _ in range(20):
            image = np.linspace(7500, 8320, 64 * 48).reshape(48, 64) + rng.normal(0, 5, (48, 64))
            made.append((image / 2**shift).astype(np.uint16))
            out.mux(stream.encode(av.VideoFrame.from_ndarray(made[-1], format=format)))
        out.mux(stream.encode(None))
    scale = 2 ** (16 - int(format[4:6]))  # FFmpeg fills 16 bits from above
    source = open_source(tmp_path / "a.mkv")
    low, high = source.used
    assert 7300 < low / scale * 2**shift < 7500
    assert 8320 < high / scale * 2**shift < 8520
    frames = list(source)
    assert len(frames) == 20
    for frame, values in zip(frames, made, strict=True):
        wanted = np.clip((values * float(scale) - low) / (high - low) * 255, 0, 255)
        assert np.abs(frame.image - wanted[..., None]).max() < 1.5
    assert frames[3].at(32).std() > 50
    later = next(iter(source.frames_from(1.0)))
    assert np.array_equal(later.image, frames[10].image)
    data = open_dataset(tmp_path)
    assert range_in_use(survey(data.train, 32, lambda done: None)) == source.used
    colder = open_dataset(tmp_path).read_as(Reading(used=(0, 65535))).train[0]
    assert np.ptp(next(iter(colder.open())).image) < 16
    with pytest.warns(OddframeWarning, match="what is outside is cut off"):
        open_as(tmp_path / "a.mkv", Reading(used=(low + 999, high)))


def test_8_bits_stay_as_they_are(make_frames, tmp_path):
    assert open_source(make_frames(tmp_path / "f")).used is None
    floats = tmp_path / "floats"
    floats.mkdir()
    cv2.imwrite(str(floats / "0.tif"), np.zeros((8, 8), np.float32))
    with pytest.raises(SourceError, match="8- or 16-bit"):
        open_source(floats)


def test_what_is_no_csv(own):
    (own / "labels.csv").write_bytes(b"\xff\xfe\x00\x01garbage")
    with pytest.raises(DatasetError, match="begins with"):
        frame_labels(open_dataset(own))
