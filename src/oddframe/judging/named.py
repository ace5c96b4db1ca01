"""The protocols in use, by name: ours, and how each peer got from scores to its printed AUC.

The peers' rows say what their released evaluation code does to one score per frame. Most fuse
several terms with a weight before that, or pick the weight, the epoch or the smoothing on the
test labels; the text says so, since no rule on scores can undo it.
"""

from __future__ import annotations

from dataclasses import replace

from oddframe.errors import ConfigError
from oddframe.judging.protocol import Protocol, changed

_TEST = "of the published figure: chosen on the TEST clips"
_LAST = "of the published figure: not stated"
_RUN = "those of the run, stated beside its rows"

_OWN = (
    Protocol("paper", "per_video", drop=None, score="paper", select=_RUN),
    Protocol("deploy", "none", drop=16, select=_RUN),
    Protocol("raw", "none", drop=None, select="not stated"),
)
_PEERS = (
    Protocol("ffp", "per_video", 4, score="paper", select=_TEST),
    Protocol(
        "mnad", "per_video", 4, score="paper", select=_TEST,
        note="MNAD adds memory distances, rescaled alike, with a weight chosen on test clips",
    ),
    Protocol("memae", "per_video", 8, drop_end=7, score="paper", select=_LAST),
    Protocol("astnet", "per_video", 4, score="paper", select=_LAST),
    Protocol(
        "vadmamba", "per_video", 16, "gaussian:10", score="paper", select=_TEST, smooth_last=True,
        note="VADMamba takes the best of 19 fusion weights and the best epochs, and mirrors the "
        "ends without the edge frame",
    ),
    Protocol("std", "per_video", 4, score="paper", select=_LAST),
    Protocol(
        "mpn", "per_video", 4, "gaussian:2:7", score="paper", select=_LAST, smooth_last=True,
        note="MPN puts Avenue's videos in one list",
    ),
    Protocol("lgn", "per_video", 4, score="paper", select=_TEST),
    Protocol("clnet", "per_video", 4, average="macro", score="paper", select=_TEST),
    Protocol(
        "hf2vad", "none", 4, "median:17", select=_TEST,
        note="HF2-VAD scales its terms by training mean and deviation before it adds them, and "
        "pads the ends with zeros, which are mirrored here",
    ),
    Protocol("aed-mae", "none", 0, "gaussian:11:37:zeros", select=_TEST),
    Protocol(
        "aed-mae-shanghaitech", "per_video", 0, "gaussian:282:899:zeros", score="paper",
        select=_TEST, smooth_last=True,
    ),
    Protocol("ai-vad", "none", 0, "gaussian:3", select=_LAST),
    Protocol("ai-vad-shanghaitech", "none", 0, "gaussian:7", select=_LAST),
    Protocol(
        "jigsaw", "per_video", 3, "gaussian:10:21", score="paper", select=_TEST, drop_end=3,
        fill=True, smooth_last=True,
        note="the sizes of its centred windows differ between data sets",
    ),
    Protocol("svdgan", "none", drop=None, select=_LAST),
    Protocol("anomalib", "none", 0, select="of the published figure: validation is the test set"),
)  # fmt: skip

PROTOCOLS: dict[str, Protocol] = {p.name: p for p in (*_OWN, *_PEERS)}
"""paper: what the papers print. deploy: what a camera gets, causal and without test statistics,
over the frames after the first 16 of each clip for every method. raw: nothing is done. Then the
peers."""
SETS: dict[str, tuple[str, ...]] = {
    "all": ("paper", "deploy"),
    "peers": tuple(p.name for p in _PEERS),
    "every": tuple(PROTOCOLS),
}
"""Names that stand for several protocols."""


def parse_protocols(text: str) -> list[Protocol]:
    """A comma list of names, of sets (`all`: paper and deploy; `peers`, `every`), and of changes.

    A change follows a name: `deploy+drop=4+smooth=gaussian:3`; see `Protocol.code`.

    Raises:
        ConfigError: an unknown name, or a change that does not fit.
    """
    found: dict[Protocol, None] = {}
    for part in text.split(","):
        name, _, changes = part.strip().partition("+")
        if name in SETS and not changes:
            found.update({PROTOCOLS[n]: None for n in SETS[name]})
        elif name in PROTOCOLS:
            found[changed(PROTOCOLS[name], changes) if changes else PROTOCOLS[name]] = None
        else:
            raise ConfigError(
                f"Unknown protocol {name!r}; expected {', '.join(PROTOCOLS)}; or "
                f"{', '.join(SETS)}; a name may be changed: deploy+drop=4."
            )
    return list(found)


def for_short(protocol: Protocol, shortest: int, first: int = 0) -> Protocol:
    """The protocol for a test set whose shortest video has so many frames.

    first: frames without a score at the start of every video, which are dropped anyway.
    Where a protocol drops all of a video, only frames without a score are dropped from all videos,
    and the text says so.
    """
    if not protocol.drop or max(protocol.drop, first) + protocol.drop_end < shortest:
        return protocol
    said = f"not its first {protocol.drop}: a video has only {shortest} frames"
    note = "; ".join(part for part in (protocol.note, said) if part)
    return replace(protocol, drop=None, drop_end=0, note=note)


def for_missing(protocol: Protocol, first: int, last: int) -> Protocol:
    """The protocol for a method that has no score for the first and last frames of every video.

    It drops them where it does not already drop more: a method judged under a protocol of a
    shorter clip loses frames, and the text says how many.
    """
    drop = protocol.drop if protocol.drop is None else max(protocol.drop, first)
    return replace(protocol, drop=drop, drop_end=max(protocol.drop_end, last))
