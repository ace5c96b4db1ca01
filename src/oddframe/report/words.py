"""What the names on a page mean, for people who never heard of an AUC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from oddframe.judging.floors import IN_WORDS
from oddframe.judging.protocol import SCORE_TEXT

PROTOCOLS = {
    "deploy": "as a camera gets it: no later frame, nothing of the test set",
    "paper": "as papers print it: rescaled over each whole video, so it looks ahead",
}
"""In short; the whole text of a protocol stands above its rows."""
STREAMS = {
    "frame": "what it draws against what is there",
    "motion": "the motion that it draws against the motion that is there",
    "flow": "how fast",
    "way": "which way",
    "stay": "what stays where nothing stood",
}
COLUMNS = {
    "auc": "AUC %", "ap": "AP %", "eer": "EER %", "macro_auc": "macro AUC %",
    "micro_auc": "micro AUC %", "pixel_auc": "pixel AUC %", "rbdc": "RBDC %", "tbdc": "TBDC %",
    "tpr": "found at 1 % false %",
}  # fmt: skip
"""Titles of the columns that have one of their own."""
GLOSSARY = {
    "score": "How odd a frame is, in spreads of normal footage. Larger is odder.",
    "level": "The score over the threshold: an alarm is raised from level 1 on.",
    "AUC": "How often an abnormal frame scores above a normal one: 50 % is chance, 100 % is "
    "perfect. It takes all frames of all videos together; the macro AUC is the mean over videos.",
    "found at 1 % false": "The share of abnormal frames above a threshold that 1 % of the normal "
    "ones pass.",
    "EER": "The share of errors where as many abnormal frames are missed as normal ones ring.",
    "AP": "Precision, averaged over all thresholds.",
    "protocol": "What is done to scores before they are compared. Two numbers under two protocols "
    "cannot be compared.",
    **{f"protocol {name}": f"{text[0].upper()}{text[1:]}." for name, text in PROTOCOLS.items()},
    "floor": "A score that learns nothing. A model that is not above the best floor has not "
    "earned its training.",
    "interval": "Where the AUC would lie in 95 of 100 draws of as many videos.",
}


def method_in_words(method: str, protocol_text: str, floor: bool) -> str:
    """What a row's score is made of; "" where that is not known."""
    if floor:
        return IN_WORDS.get(method, "")
    _, _, part = method.partition(":")
    if part == "own":
        return "what its network drew, alone"
    if part:
        return f"one stream alone: {STREAMS[part]}" if part in STREAMS else ""
    if protocol_text.startswith(SCORE_TEXT["paper"]):
        return "the score of its paper"
    return "all its streams together" if protocol_text.startswith(SCORE_TEXT["deploy"]) else ""


def glossary(rows: Sequence[Mapping[str, object]]) -> str:
    """A list of what the words mean, of those that a page with these rows has."""
    there = {str(row.get("protocol", "")) for row in rows}
    shown = {
        word: text
        for word, text in GLOSSARY.items()
        if not word.startswith("protocol ") or word.removeprefix("protocol ") in there
    }
    pairs = "".join(
        f"<div><dt>{escape(word)}</dt><dd>{escape(text)}</dd></div>" for word, text in shown.items()
    )
    return f'<dl class="words">{pairs}</dl>'
