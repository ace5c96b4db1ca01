"""One frame at a time gives what the clip gives, and streams do not touch each other."""

import copy
from dataclasses import fields

import pytest
import torch
from m2s2l_plain import CASES, made, video
from torch.utils._pytree import tree_leaves

from oddframe.models import build, default_config


@pytest.fixture(autouse=True)
def _without_gradient():
    with torch.no_grad():
        yield


def stream(model, frames):
    """(b, t, ...) -> what each step predicted, None included."""
    state, out = model.init_state(), []
    for i in range(frames.shape[1]):
        state, prediction = model.step(state, frames[:, i])
        out.append(prediction)
    return out


def same(a, b):
    """Bit for bit."""
    if a is None or b is None:
        return a is b
    return torch.equal(a.frame, b.frame) and torch.equal(a.motion, b.motion)


def tensors(state):
    leaves = tree_leaves([getattr(state, f.name) for f in fields(state)])
    return [x for x in leaves if x is not None]


# In float32 an untrained model; the shaken ones magnify rounding (LayerNorm over four channels).
@pytest.mark.parametrize(
    ("dtype", "shake", "tolerance"), [(torch.float64, 0.1, 1e-10), (torch.float32, 0.0, 1e-5)]
)
@pytest.mark.parametrize("case", CASES)
def test_step_in_a_loop_equals_forward(case, dtype, shake, tolerance):
    model = made(shake=shake, **CASES[case]).to(dtype)
    k = model.history
    clip = video(k + 4, b=2, dtype=dtype)
    whole = model(clip)
    steps = stream(model, clip)
    assert steps[: k - 1] == [None] * (k - 1)
    assert whole.frame.shape[1] == 5
    for i, step in enumerate(steps[k - 1 :]):
        assert step.frame.shape == (2, 1, 3, 64, 64)
        for found, want in ((step.frame, whole.frame), (step.motion, whole.motion)):
            torch.testing.assert_close(found[:, 0], want[:, i], rtol=0, atol=tolerance)
        for name, feature in step.features.items():
            want = whole.features[name].unflatten(0, (2, 5))[:, i]
            torch.testing.assert_close(feature, want, rtol=0, atol=tolerance)


@pytest.mark.parametrize("case", ["default", "detail", "mha", "direct"])
def test_interleaved_streams_do_not_touch_each_other(case):
    model = made(**CASES[case])
    a, b = video(7, seed=1), video(7, seed=2)
    alone = stream(model, a), stream(model, b)
    states, found = [model.init_state(), model.init_state()], ([], [])
    for i in range(7):
        for which, frames in enumerate((a, b)):
            states[which], prediction = model.step(states[which], frames[:, i])
            found[which].append(prediction)
    for mixed, own in zip(found, alone, strict=True):
        assert all(same(x, y) for x, y in zip(mixed, own, strict=True))


@pytest.mark.parametrize("case", ["default", "literal", "detail", "mha", "everything"])
def test_streams_of_any_age_in_one_call_equal_each_alone(case):
    """One ready, one a frame short of it, one new, and one of two cameras: joined and parted."""
    model = made(**CASES[case]).double()
    k = model.history
    lengths, batches = (k + 1, k - 2, 0, k), (1, 1, 1, 2)
    videos = [
        video(n + 3, b=b, seed=i, dtype=torch.float64)
        for i, (n, b) in enumerate(zip(lengths, batches, strict=True))
    ]
    alone = [stream(model, v) for v in videos]
    states = []
    for v, n in zip(videos, lengths, strict=True):
        state = model.init_state()
        for i in range(n):
            state, _ = model.step(state, v[:, i])
        states.append(state)
    for step in range(3):
        frames = [v[:, n + step] for v, n in zip(videos, lengths, strict=True)]
        before = [[t.clone() for t in tensors(s)] for s in states]
        old, (states, found) = states, model.step_batch(states, frames)
        for s, kept in zip(old, before, strict=True):
            assert all(torch.equal(x, y) for x, y in zip(tensors(s), kept, strict=True))
        for prediction, own, n in zip(found, alone, lengths, strict=True):
            want = own[n + step]
            assert (prediction is None) == (want is None) == (n + step < k - 1)
            if want is not None:
                torch.testing.assert_close(prediction.frame, want.frame, rtol=0, atol=1e-10)
                torch.testing.assert_close(prediction.motion, want.motion, rtol=0, atol=1e-10)
                assert set(prediction.features) == set(want.features)
                for name, feature in want.features.items():
                    found_feature = prediction.features[name]
                    torch.testing.assert_close(found_feature, feature, rtol=0, atol=1e-10)


@pytest.mark.parametrize("frames", [1, 3, 6])
def test_step_leaves_the_state_as_it_was(frames):
    model = made(detail_frames=2)
    clip = video(frames + 2)
    state = model.init_state()
    for i in range(frames):
        state, _ = model.step(state, clip[:, i])
    before = [t.clone() for t in tensors(state)]
    first = model.step(state, clip[:, frames])
    other = model.step(state, clip[:, frames + 1])
    again = model.step(state, clip[:, frames])
    assert same(first[1], again[1])
    assert other[1] is None or not same(first[1], other[1])
    for one, two in zip(tensors(first[0]), tensors(again[0]), strict=True):
        assert torch.equal(one, two)
    for now, then in zip(tensors(state), before, strict=True):
        assert torch.equal(now, then)


@pytest.mark.parametrize("case", ["default", "literal", "mha", "everything"])
def test_two_cameras_in_a_batch_equal_two_alone(case):
    model = made(**CASES[case]).double()
    clip = video(model.history + 2, b=2, dtype=torch.float64)
    both = stream(model, clip)[-1]
    for i in range(2):
        one = stream(model, clip[i : i + 1])[-1]
        torch.testing.assert_close(both.frame[i], one.frame[0], rtol=0, atol=1e-10)
        torch.testing.assert_close(both.motion[i], one.motion[0], rtol=0, atol=1e-10)


@pytest.mark.parametrize("case", ["default", "wider-history", "detail", "next"])
def test_a_video_cut_in_segments_with_k_frames_of_overlap(case):
    model = made(**CASES[case])
    k, n = model.history, 19
    clip = video(n)
    whole = stream(model, clip)  # entry f - 1 predicts frame f
    for start, stop in ((k, 11), (11, 12), (12, n)):
        part = stream(model, clip[:, start - k : stop])
        # Frame f of the video is frame f - (start - k) of the segment.
        for f in range(start, stop):
            assert same(part[f - start + k - 1], whole[f - 1]), f


def test_only_the_last_k_frames_matter():
    model = made(detail_frames=2)
    k = model.history
    clip, other = video(k + 3), video(k + 3)
    other[:, :3] = -other[:, :3]
    assert same(stream(model, clip)[-1], stream(model, other)[-1])


def test_no_frame_of_the_future_is_seen():
    model = made()
    clip = video(8)
    other = clip.clone()
    other[:, 6:] = -other[:, 6:]
    a, b = model(clip), model(other)
    assert torch.equal(a.frame[:, :3], b.frame[:, :3])
    assert not torch.equal(a.frame[:, 3], b.frame[:, 3])


def test_the_state_stops_growing():
    model = made(detail_frames=2)
    state, sizes = model.init_state(), []
    for i in range(9):
        state, _ = model.step(state, video(9)[:, i])
        sizes.append(sum(t.numel() for t in tensors(state)))
    assert sizes[2] < sizes[3] == sizes[8]


def test_what_a_stream_remembers_holds_nothing_of_the_others():
    model = made()
    states = [model.init_state() for _ in range(4)]
    for i in range(model.history + 1):
        frames = [video(1, seed=4 * i + s)[:, 0] for s in range(4)]
        states, _ = model.step_batch(states, frames)
    kept = tensors(states[0])
    own = sum(x.nbytes for x in kept)
    held = {x.untyped_storage().data_ptr(): x.untyped_storage().nbytes() for x in kept}
    assert sum(held.values()) <= 1.2 * own


def test_too_short_a_clip_says_how_long_it_must_be():
    with pytest.raises(ValueError, match="at least 4 frames, got 3"):
        made()(video(3))


def test_the_edge_size_streams_as_it_reads_clips():
    torch.manual_seed(0)
    model = build("m2s2l-edge").eval()
    assert model.size == default_config("m2s2l-edge").size == 256
    clip = video(17, size=256)
    whole, steps = model(clip), stream(model, clip)
    for i in range(2):
        torch.testing.assert_close(steps[15 + i].frame[:, 0], whole.frame[:, i], rtol=0, atol=1e-5)
        torch.testing.assert_close(
            steps[15 + i].motion[:, 0], whole.motion[:, i], rtol=0, atol=1e-5
        )


def test_a_copied_model_streams_the_same_bits():
    model = made()
    clip = video(5)
    assert same(stream(model, clip)[-1], stream(copy.deepcopy(model), clip)[-1])
