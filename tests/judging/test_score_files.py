"""Scores made elsewhere: the forms of files, names, missing frames; the peers' own figures."""

from __future__ import annotations

import json
import time
import warnings

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from oddframe.cli import main
from oddframe.errors import ProtocolError
from oddframe.judging.elsewhere import evaluate_events, evaluate_scores_files
from oddframe.judging.judge import evaluate_arrays
from oddframe.judging.named import PROTOCOLS, parse_protocols
from oddframe.judging.protocol import Protocol, changed
from oddframe.judging.score_files import Reading, csv_rates, read_foreign

RAW = parse_protocols("raw")


def written(folder, n=(50, 61, 72), seed=3):
    rng = np.random.default_rng(seed)
    labels = {f"{i:02d}": (rng.random(m) < 0.3).astype(np.uint8) for i, m in enumerate(n, 1)}
    scores = {k: rng.normal(size=y.size) + y for k, y in labels.items()}
    np.savez(folder / "labels.npz", **labels)
    np.savez(folder / "scores.npz", **scores)
    return scores, labels


def auc_of(scores, labels):
    return roc_auc_score(
        np.concatenate([labels[k] for k in sorted(labels)]),
        np.concatenate([scores[k] for k in sorted(labels)]),
    )


def test_all_forms_of_one_set_of_scores_give_one_auc(tmp_path):
    scores, labels = written(tmp_path)
    np.save(tmp_path / "flat.npy", np.concatenate([scores[k] for k in sorted(scores)])[None])
    for kind in ("csv", "npy"):
        (tmp_path / kind).mkdir()
    for name, values in scores.items():
        np.save(tmp_path / "npy" / f"Test0{name}.npy", values)
        lines = [f"{i},{i / 25},{v!r},0,0" for i, v in enumerate(values.tolist())]
        text = "\n".join(["frame,time_s,score,level,alarm", *lines])
        (tmp_path / "csv" / f"{name}.csv").write_text(text)
    (tmp_path / "truth").mkdir()
    for name, values in labels.items():
        np.save(tmp_path / "truth" / f"{name}.npy", values)
    np.save(tmp_path / "flat_labels.npy", np.concatenate([*labels.values()])[None])
    want = auc_of(scores, labels)
    for file in ("scores.npz", "flat.npy", "csv", "npy"):
        for truth in ("labels.npz", "truth"):
            row = evaluate_scores_files(tmp_path / file, tmp_path / truth, RAW)[0]
            assert row["auc"] == pytest.approx(want, abs=1e-12), (file, truth)
    row = evaluate_scores_files(tmp_path / "scores.npz", tmp_path / "flat_labels.npy", RAW)[0]
    assert row["auc"] == pytest.approx(want, abs=1e-12)
    with pytest.raises(ProtocolError, match="where one video ends"):
        read_foreign(tmp_path / "flat.npy", tmp_path / "flat_labels.npy", RAW, Reading())


def test_files_without_names_go_by_the_natural_order_whatever_an_archive_was_saved_in(tmp_path):
    rng = np.random.default_rng(5)
    labels = {str(i): (rng.random(20) < 0.1 + 0.05 * i).astype(np.uint8) for i in range(1, 13)}
    scores = {k: rng.normal(size=20) + 2 * y for k, y in labels.items()}
    np.save(tmp_path / "whole.npy", np.concatenate([*scores.values()]))
    np.save(tmp_path / "labels.npy", np.concatenate([*labels.values()]))
    for order in (list(labels), sorted(labels)):
        np.savez(tmp_path / "scores.npz", **{k: scores[k] for k in order})
        np.savez(tmp_path / "labels.npz", **{k: labels[k] for k in order})
        for files in (("scores.npz", "labels.npy"), ("whole.npy", "labels.npz")):
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                row = evaluate_scores_files(*(tmp_path / f for f in files), RAW)[0]
            assert row["auc"] == pytest.approx(auc_of(scores, labels), abs=1e-12)
            texts = [str(w.message) for w in said]
            assert len(texts) == (order != list(labels))
            assert all("1, 2, 3, 4 …" in t and "1, 10, 11, 12 …" in t for t in texts)


def test_the_command_warns_once_of_what_it_reads_several_times(tmp_path, capsys):
    labels = {k: np.arange(20) % 2 for k in ("10", "2")}
    np.savez(tmp_path / "y.npz", **labels)
    np.save(tmp_path / "s.npy", np.arange(40.0))
    files = [str(tmp_path / name) for name in ("s.npy", "y.npz")]
    for _ in range(2):
        assert main(["evaluate-scores", *files, "--protocol", "raw", "--threshold", "9"]) == 0
        assert capsys.readouterr().err.count("does not name its videos") == 1


def test_frames_that_the_file_lacks_are_lined_up_only_where_that_is_stated(tmp_path):
    scores, labels = written(tmp_path)
    short = {k: s[8:-7] for k, s in scores.items()}
    np.savez(tmp_path / "short.npz", **short)
    np.save(tmp_path / "short.npy", np.concatenate([*short.values()]))
    want = auc_of(short, {k: y[8:-7] for k, y in labels.items()})
    memae = [changed(PROTOCOLS["memae"], "normalise=none")]
    for file in ("short.npz", "short.npy"):
        row = evaluate_scores_files(tmp_path / file, tmp_path / "labels.npz", memae)[0]
        assert row["auc"] == pytest.approx(want, abs=1e-12)
        assert "first 8 frames and last 7 frames" in row["protocol_text"]
        with pytest.raises(ProtocolError, match=r"35 scores, but 50|138 scores; .* need 183"):
            evaluate_scores_files(tmp_path / file, tmp_path / "labels.npz", RAW)
        cut = Reading(cut=(8, 7))
        row = evaluate_scores_files(tmp_path / file, tmp_path / "labels.npz", RAW, reading=cut)[0]
        assert row["auc"] == pytest.approx(want, abs=1e-12)
        row = evaluate_scores_files(
            tmp_path / file, tmp_path / "labels.npz", RAW, reading=cut, drop=10
        )[0]
        assert "first 10 frames and last 7 frames" in row["protocol_text"]
    shifted = Reading(cut=(7, 8))
    row = evaluate_scores_files(
        tmp_path / "short.npz", tmp_path / "labels.npz", RAW, reading=shifted
    )[0]
    assert row["auc"] != pytest.approx(want, abs=1e-3)


def test_videos_shorter_than_the_dropped_frames_are_judged_whole_and_it_is_said(tmp_path):
    scores, labels = written(tmp_path, n=(50, 61, 12))
    files = tmp_path / "scores.npz", tmp_path / "labels.npz"
    deploy, ffp = evaluate_scores_files(*files, parse_protocols("deploy,ffp"))
    assert deploy["auc"] == pytest.approx(auc_of(scores, labels), abs=1e-12)
    assert "no frames dropped" in deploy["protocol_text"]
    assert "not its first 16: a video has only 12 frames" in deploy["protocol_text"]
    assert ffp["dropped_frames"] == 3 * 4


def test_regularity_prefix_and_the_end(tmp_path):
    scores, labels = written(tmp_path)
    mixed = {f"Set_A__out{k}": -s for k, s in scores.items()} | {"Set_B__out01": np.zeros(3)}
    mixed["Set_A__out02"] = mixed["Set_A__out02"][2:]
    np.savez(tmp_path / "mixed.npz", **mixed)
    reading = Reading(only="Set_A", regularity=True, align_end=True)
    row = evaluate_scores_files(
        tmp_path / "mixed.npz", tmp_path / "labels.npz", RAW, reading=reading
    )[0]
    kept = {**scores, "02": scores["02"][2:]}
    assert row["auc"] == pytest.approx(auc_of(kept, {**labels, "02": labels["02"][2:]}), abs=1e-12)
    with pytest.raises(ProtocolError, match="Set_C"):
        read_foreign(tmp_path / "mixed.npz", tmp_path / "labels.npz", RAW, Reading(only="Set_C"))


def test_scaling_by_training_scores_moves_no_auc_and_needs_them(tmp_path):
    written(tmp_path)
    np.save(tmp_path / "train.npy", np.arange(101.0))
    files = tmp_path / "scores.npz", tmp_path / "labels.npz"
    train = [changed(PROTOCOLS["raw"], "normalise=train")]
    scaled = evaluate_scores_files(*files, train, train=tmp_path / "train.npy")[0]
    assert scaled["auc"] == evaluate_scores_files(*files, RAW)[0]["auc"]
    assert "quantiles of training scores" in scaled["protocol_text"]
    with pytest.raises(ProtocolError, match="--train"):
        evaluate_scores_files(*files, train)


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=lambda p: p.name)
def test_the_short_form_of_a_protocol_reads_back(protocol):
    again = parse_protocols(protocol.code)[0]
    assert again == protocol
    assert parse_protocols("raw+" + protocol.code.partition("+")[2])[0].normalise == (
        protocol.normalise
    )


def test_a_changed_protocol_says_so_in_its_name():
    found = parse_protocols("deploy+drop=4+smooth=gaussian:3+average=macro")[0]
    assert found == Protocol(
        "deploy+drop=4+smooth=gaussian:3+average=macro", "none", 4, "gaussian:3", "macro",
        select=PROTOCOLS["deploy"].select,
    )  # fmt: skip


def test_the_command_writes_rows_and_pictures(tmp_path, capsys):
    written(tmp_path)
    args = ["evaluate-scores", str(tmp_path / "scores.npz"), str(tmp_path / "labels.npz")]
    more = ["--protocol", "every", "--json", str(tmp_path / "out.json")]
    assert main([*args, *more, "--pictures", str(tmp_path / "pics")]) == 0
    rows = json.loads((tmp_path / "out.json").read_text())["rows"]
    assert [r["protocol"] for r in rows] == list(PROTOCOLS)
    assert len(list((tmp_path / "pics").glob("*.svg"))) == 3
    assert "<path" in (tmp_path / "pics" / "01.svg").read_text()
    capsys.readouterr()
    assert main([*args, "--protocol", "ffp+smooth=what"]) == 1
    assert "smooth is 'what'" in capsys.readouterr().err
    assert main(["protocols", "all"]) == 0
    assert "per-video min-max" in capsys.readouterr().out


def test_two_label_sets_and_regions_in_one_command(tmp_path, capsys):
    _, labels = written(tmp_path)
    np.savez(tmp_path / "other.npz", **{k: 1 - y for k, y in labels.items()})
    for folder in ("found", "tracks"):
        (tmp_path / folder).mkdir()
    for name in labels:
        (tmp_path / "found" / f"{name}.txt").write_text("3,0,0,10,10,0.9\n9,50,50,60,60,0.4\n")
        (tmp_path / "tracks" / f"{name}.txt").write_text("1,3,0,0,10,10\n1,4,0,0,10,10\n")
    args = ["evaluate-scores", str(tmp_path / "scores.npz"), str(tmp_path / "labels.npz")]
    more = ["--also", str(tmp_path / "other.npz"), "--json", str(tmp_path / "out.json")]
    boxes = ["--regions", str(tmp_path / "found"), "--tracks", str(tmp_path / "tracks")]
    assert main([*args, *more, *boxes, "--protocol", "raw"]) == 0
    assert "RBDC 50.00, TBDC 100.00" in capsys.readouterr().out
    first, second = json.loads((tmp_path / "out.json").read_text())["rows"]
    assert first["auc"] == pytest.approx(1 - second["auc"])
    assert (first["rbdc"], first["tbdc"]) == (0.5, 1.0)
    (tmp_path / "found" / "01.txt").unlink()
    assert main([*args, *boxes]) == 1
    assert "01" in capsys.readouterr().err
    assert main([*args, *boxes[:2]]) == 1
    assert "--tracks DIR" in capsys.readouterr().err


def test_alarms_of_a_threshold_are_judged_by_events(tmp_path, capsys):
    np.savez(tmp_path / "y.npz", a=[0] * 20 + [1] * 10 + [0] * 20, b=np.zeros(50))
    scores = {"a": np.zeros(50), "b": np.zeros(50)}
    scores["a"][:16] = np.nan
    scores["a"][24:40] = 1
    scores["b"][5:8] = 1
    np.savez(tmp_path / "s.npz", **scores)
    args = ["evaluate-scores", str(tmp_path / "s.npz"), str(tmp_path / "y.npz"), "--protocol"]
    more = ["raw", "--threshold", "0.5", "--fps", "10", "--json", str(tmp_path / "out.json")]
    assert main([*args, *more]) == 0
    events = json.loads((tmp_path / "out.json").read_text())["rows"][0]["events"]
    assert (events["found"], events["events"], events["true_alarms"], events["alarms"]) == (
        1, 1, 1, 2,
    )  # fmt: skip
    assert events["median_delay_s"] == pytest.approx(0.4)
    assert events["false_alarms_per_hour"] == pytest.approx(3600 * 10 / 84)
    assert "1 of 1 events found, median delay 0.4 s; 1 of 2 alarms true" in capsys.readouterr().out


def test_a_million_frames_take_less_than_two_seconds(tmp_path):
    rng = np.random.default_rng(0)
    scores = {f"{i}": rng.integers(0, 50_000, 50_000).astype(float) for i in range(20)}
    labels = {k: (rng.random(v.size) < 0.2).astype(np.uint8) for k, v in scores.items()}
    fastest = min(timed(scores, labels) for _ in range(3))
    assert fastest < 2


def timed(scores, labels):
    start = time.perf_counter()
    evaluate_arrays("m", scores, labels, PROTOCOLS["paper"])
    return time.perf_counter() - start


@pytest.mark.data
@pytest.mark.parametrize(
    ("scores", "labels", "published"),
    [
        ("UCSDped2", "ped2/labels.npz", 0.9341),
        ("UCSDped2", "ped2", 0.9341),
        ("Avenue", "labels/avenue_frame_labels.npz", 0.8099),
        ("Avenue", "labels/avenue_mnad_frame_labels.npz", 0.8052),
    ],
)
def test_memae_as_published(real_data, scores, labels, published):
    path = real_data(f"peers/memae/ckpt_{scores}_recons_error_original_1.0_40.npy")
    row = evaluate_scores_files(path, real_data(labels), parse_protocols("memae"))[0]
    assert round(row["auc"], 4) == published


@pytest.mark.data
@pytest.mark.parametrize(
    ("prefix", "labels", "published"),
    [
        ("UCSD_Ped1", "labels/ped1_frame_labels.npz", 0.664),
        ("UCSD_Ped2", "ped2/labels.npz", 0.756),
        ("Results_Avenue", "labels/avenue_frame_labels.npz", 0.651),
        ("Results_ShanghaiTech", "labels/shanghaitech_frame_labels.npz", 0.677),
    ],
)
def test_svdgan_as_published(real_data, prefix, labels, published):
    reading = Reading(only=prefix, regularity=True, align_end=True)
    path = real_data("peers/svdgan/scores.npz")
    row = evaluate_scores_files(
        path, real_data(labels), parse_protocols("svdgan"), reading=reading
    )[0]
    assert round(row["auc"], 3) == published


def test_a_threshold_of_regularity_is_one_from_above_and_events_go_by_their_labels(
    tmp_path, capsys
):
    odd = np.repeat([0, 1, 0, 1, 0], 10)
    np.savez(tmp_path / "s.npz", a=1 - 0.9 * odd)
    np.savez(tmp_path / "y.npz", a=odd)
    np.savez(tmp_path / "z.npz", a=np.repeat([0, 1, 0], [10, 10, 30]))
    args = ["evaluate-scores", *(str(tmp_path / f"{f}.npz") for f in "sy"), "--protocol", "raw"]
    args += [
        "--regularity",
        "--threshold",
        "0.3",
        "--fps",
        "5",
        "--json",
        str(tmp_path / "out.json"),
    ]
    assert main([*args, "--also", str(tmp_path / "z.npz")]) == 0
    events = [r["events"] for r in json.loads((tmp_path / "out.json").read_text())["rows"]]
    assert [(e["found"], e["events"], e["alarms"]) for e in events] == [(2, 2, 2), (1, 1, 2)]
    assert {e["merge_s"] for e in events} == {1.0}
    said = capsys.readouterr().out
    assert "y.npz: alarms at the threshold (less than 1 s apart are one): 2 of 2 events" in said
    assert "z.npz: alarms at the threshold (less than 1 s apart are one): 1 of 1 events" in said


def test_files_of_several_sets_and_blank_last_lines(tmp_path):
    folder = tmp_path / "s"
    folder.mkdir()
    for name, fps in (("ped1_01", 10), ("ped2_01", 5), ("ped2_02", 5)):
        rows = "".join(f"{i},{i / fps},{i % 7}\n" for i in range(30))
        (folder / f"{name}.csv").write_text("frame,time_s,score\n" + rows + "\n")
    np.savez(tmp_path / "y.npz", **{k: np.arange(30) % 2 for k in ("01", "02")})
    found = read_foreign(folder, tmp_path / "y.npz", RAW, Reading(only="ped2_"))
    assert [x.size for x in found.scores.values()] == [30, 30]
    rates = csv_rates(folder, "ped2_")
    assert rates == {"ped2_01": pytest.approx(5), "ped2_02": pytest.approx(5)}
    assert evaluate_events(found, 5.0, rates).alarms > 0


def test_times_of_events_are_those_of_the_files(tmp_path):
    """A file that says when its frames were shown needs no --fps."""
    folder = tmp_path / "s"
    folder.mkdir()
    rows = "".join(f"{i},{i / 5:.3f},{float(i >= 60)}\n" for i in range(100))
    (folder / "a.csv").write_text("frame,time_s,score\n" + rows)
    np.savez(tmp_path / "labels.npz", a=(np.arange(100) >= 50).astype(np.uint8))
    assert csv_rates(folder) == {"a": pytest.approx(5)}
    found = read_foreign(folder, tmp_path / "labels.npz", [PROTOCOLS["raw"]], Reading())
    events = evaluate_events(found, 0.5, csv_rates(folder))
    assert events.median_delay_s == pytest.approx(2.0)
    assert evaluate_events(found, 0.5, 25.0).median_delay_s == pytest.approx(0.4)
    (folder / "b.csv").write_text("frame,score\n0,1\n")
    assert csv_rates(folder) is None


def test_spans_in_a_table_need_the_data_set(tmp_path):
    folder = tmp_path / "s"
    folder.mkdir()
    (folder / "a.csv").write_text("frame,score\n0,1\n1,2\n")
    (tmp_path / "labels.csv").write_text("video,start_s,end_s\na,0,1\n")
    with pytest.raises(ProtocolError, match="Give the root of the data set"):
        read_foreign(folder, tmp_path / "labels.csv", [PROTOCOLS["raw"]], Reading())
