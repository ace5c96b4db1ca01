"""The RUN folder: what `fit` leaves and everything else reads.

    RUN/model.safetensors   weights (averaged over training), no pickle
    RUN/usual.safetensors   what is usual in the scene (`scoring.usual`); RUNs of before have none
    RUN/model.json          configuration, scene, calibration, data, versions
    RUN/train.csv           the loss curve
    RUN/selftest.png        made anomalies, and how often they are seen
    RUN/resume/             what `fit --resume` needs; safe to delete

Every file is written under a temporary name and renamed once all are whole, and the card knows the
others by their digest: a RUN is never half-written, nor of two trainings without a word.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import methodcaller
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any, cast

from oddframe.atomic import as_json, write_json, write_together
from oddframe.errors import ConfigError, RunError
from oddframe.models import build, default_config, score_settings
from oddframe.scoring.fuse import FUSING
from oddframe.scoring.scene import StreamScene, from_json, to_json
from oddframe.sources.urls import safe

if TYPE_CHECKING:
    from oddframe.config import Config
    from oddframe.models.base import VADModel
    from oddframe.scoring.settings import ScoreConfig
    from oddframe.scoring.usual import Usual

FORMAT = 3
"""Version of model.json; raised when an older oddframe could misread a newer RUN."""
_FIRST_MEMORY = {
    "memory_write": "mean", "memory_start": "random", "memory_revive": False,
    "memory_centre": False, "memory_temperature": 0.1,
}  # fmt: skip
"""What M2S2L's memories were in format 1, which had no settings for it."""
_FIRST_SCORE = {"one_voice": False, "sharpness": 2.0}
"""What a score was before there was a setting for it."""
WEIGHTS, CARD, CURVE, RESUME = "model.safetensors", "model.json", "train.csv", "resume"
USUAL, SELFTEST = "usual.safetensors", "selftest.png"
SHIPPED = Path(__file__).parent / "weights"
"""RUNs that come with oddframe, one folder each: their names stand for them."""


@dataclass(frozen=True, slots=True)
class Run:
    """A trained run, read from its folder; weights are loaded by `model()`."""

    path: Path
    name: str
    """Model name, a key of `oddframe.models.MODELS`."""
    model_config: Config
    score_config: ScoreConfig
    scene: dict[str, StreamScene]
    calibration: dict[str, Any] | None
    """{"threshold", "alarms_per_day", ...}, None before calibration."""
    card: dict[str, Any]
    """All of model.json."""
    changed: tuple[str, ...] = ()
    """Settings changed after training, in words; see `with_settings`."""

    @property
    def threshold(self) -> float | None:
        """Score of the alarm, None before calibration."""
        return None if self.calibration is None else float(self.calibration["threshold"])

    @property
    def calibrated(self) -> bool:
        """Whether its threshold is of footage that somebody gave for it, not of `fit`."""
        return "footage" in (self.card["calibration"] or {})

    @property
    def fps(self) -> float | None:
        """Frames per second of the footage that it learned from; None where nothing said it."""
        found = self.card.get("fps")
        return None if found is None else float(found)

    @property
    def used(self) -> tuple[int, int] | None:
        """Values of 16-bit pictures that become 0 and 255, as in training; None of other ones."""
        found = self.card.get("used")
        return None if found is None else (int(found[0]), int(found[1]))

    @property
    def settable(self) -> tuple[str, ...]:
        """Settings that need neither new training nor new statistics of the scene."""
        return (
            *score_settings(self.name), *(f"score.{name}" for name in (*FUSING, "streams")),
        )  # fmt: skip

    def with_settings(self, settings: Sequence[str]) -> Run:
        """The run with score settings changed after training, `a.b=value` as `--set` takes them.

        Where they change the causal score (`score.streams` and those of `FUSING`) the threshold,
        which was found for another score, is gone. The folder stays as it is.

        Raises:
            ConfigError: another setting than those in `settable`, or a value out of range.
        """
        values: dict[str, Config] = {"score": self.score_config, "model": self.model_config}
        for setting in settings:
            key = setting.partition("=")[0].strip()
            if key not in self.settable:
                raise ConfigError(
                    f"{key or setting!r} cannot be set after training: of {self.path} "
                    f"({self.name}) that can be {', '.join(self.settable)}. For anything else fit "
                    "again (oddframe fit … --set)."
                )
            group, _, rest = setting.strip().partition(".")
            values[group] = values[group].override([rest])
        score, model = cast("ScoreConfig", values["score"]), values["model"]
        lacking = [name for name in score.streams if name not in self.scene]
        if lacking:
            raise ConfigError(
                f"score.streams names {', '.join(lacking)}, but {self.path} has the streams "
                f"{', '.join(self.scene)}. Choose among these."
            )
        told = [
            f"{group}.{name} {_plain(new)} instead of {_plain(old)}"
            for group, before in (("score", self.score_config), ("model", self.model_config))
            for (name, new), old in zip(
                values[group].model_dump().items(), before.model_dump().values(), strict=True
            )
            if new != old
        ]
        return replace(
            self,
            model_config=model,
            score_config=score,
            changed=(*self.changed, *told),
            calibration=self.calibration if self.fused_alike(score) else None,
        )

    def fused_alike(self, config: ScoreConfig) -> bool:
        """Whether another score configuration gives this run's causal score."""
        mine = self.score_config
        return all(getattr(mine, name) == getattr(config, name) for name in FUSING) and (
            set(mine.streams or self.scene) == set(config.streams or self.scene)
        )

    @property
    def lost_threshold(self) -> bool:
        """Whether the RUN has a threshold that does not hold for the settings of now."""
        return self.calibration is None and self.card["calibration"] is not None

    @property
    def weights_text(self) -> str:
        """Which of the training's weights the RUN holds, in words."""
        average = self.card["config"].get("train", {}).get("average")
        if average is None:
            return "weights as the RUN holds them"
        return "last weights, averaged over training" if average else "last weights, not averaged"

    def outline(self) -> VADModel:
        """The model without its weights, on the meta device: what it is, not what it learned."""
        import torch

        with torch.device("meta"):
            return build(self.name, self.model_config)

    def model(self) -> VADModel:
        """Build the model and load its weights.

        Raises:
            RunError: the weights are absent, damaged, or of another configuration or training.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load

        model = build(self.name, self.model_config)
        try:
            # Read here: safetensors opens no file whose name is not UTF-8.
            weights = (self.path / WEIGHTS).read_bytes()
            model.load_state_dict(load(weights))
        except OSError as error:
            raise RunError(
                f"{self.path / WEIGHTS} cannot be read: {error.strerror or error}. Give this user "
                "the right to read it, or copy the whole folder anew."
            ) from None
        except (SafetensorError, RuntimeError) as error:
            said = shorten(str(error), 300, placeholder=" ….")  # torch has a line for each weight
            raise RunError(
                f"{self.path / WEIGHTS} does not hold the weights of this {self.name}: {said} Fit "
                "the run again, or copy the whole folder anew."
            ) from None
        self._check_part(WEIGHTS, weights)
        return model.eval()

    def usual(self) -> Usual | None:
        """What is usual in the scene; None of RUNs that were made without.

        Raises:
            RunError: absent, damaged, or of another training.
        """
        if "way" not in self.scene:
            return None
        from oddframe.scoring.usual import Usual

        try:
            known = (self.path / USUAL).read_bytes()
            found = Usual.from_bytes(known)
        except (OSError, ValueError) as error:
            raise RunError(
                f"{self.path / USUAL} cannot be read: {error}. Copy the whole RUN folder anew."
            ) from None
        self._check_part(USUAL, known)
        return found

    @property
    def whole(self) -> bool:
        """Whether all files are of the training that the card is of; RUNs of before do not say."""
        try:
            for name in self.card.get("parts", ()):
                self._check_part(name, (self.path / name).read_bytes())
        except (OSError, RunError):
            return False
        return True

    def _check_part(self, name: str, data: bytes) -> None:
        """Refuse a file that is not the one that the card was written with."""
        if self.card.get("parts", {}).get(name) not in (None, _digest(data)):
            raise RunError(
                f"{self.path / name} and {CARD} beside it are of two trainings: fit was stopped as "
                "it wrote them or is writing now, or one was copied alone. Give its `oddframe fit "
                "… --resume` once more, or copy the whole folder anew."
            )


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _plain(value: Any) -> str:
    """A setting's value, for people."""
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(map(str, value))}]" if value else "all"
    return f"{value:g}" if isinstance(value, float) else str(value)


@contextlib.contextmanager
def locked(path: Path, doing: str) -> Iterator[None]:
    """While open, no other process writes to a RUN folder, which is made where it is missing.

    doing: in words, for whoever comes second.

    Raises:
        RunError: somebody does, or the folder cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        folder = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise RunError(
            f"Cannot write to {path}: {error.strerror or error}. Choose another folder, or get the "
            "right to write there."
        ) from None
    try:
        with contextlib.suppress(ImportError):  # where there are no such locks, nobody is kept out
            import fcntl

            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise RunError(
                    f"Another process is writing to {path}, so {doing} has to wait: let it end or "
                    "stop it, and give the command again."
                ) from None
        yield
    finally:
        os.close(folder)


def save_run(
    path: Path,
    name: str,
    model: VADModel,
    configs: Mapping[str, Any],
    scene: Mapping[str, StreamScene],
    calibration: Mapping[str, Any] | None,
    card: Mapping[str, Any],
    usual: Usual | None = None,
) -> None:
    """Write the weights, then the card that makes them a RUN.

    configs: plain values of the groups `model`, `score` and `train`.
    card: whatever else belongs into model.json (data manifest, versions, training facts).

    Raises:
        RunError: the folder cannot be written (disk full, permissions); nothing is half-written.
    """
    from safetensors.torch import save

    weights = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    parts = {WEIGHTS: save(weights)} | ({} if usual is None else {USUAL: usual.to_bytes()})
    values = {
        "format": FORMAT, "model": name, "config": dict(configs), "scene": to_json(scene),
        "calibration": calibration, "parts": {n: _digest(data) for n, data in parts.items()},
        **card,
    }  # fmt: skip
    parts[CARD] = as_json(values).encode()
    write_together({path / n: methodcaller("write_bytes", data) for n, data in parts.items()})


def shipped() -> list[str]:
    """Names of the RUNs that come with oddframe."""
    return sorted(p.parent.name for p in SHIPPED.glob(f"*/{CARD}"))


def is_run(path: str | Path) -> bool:
    """Whether a path, or a name of `shipped`, is a finished RUN; what is in it may be damaged."""
    path = Path(path)
    return (path / CARD).is_file() or (str(path) in shipped() and not path.exists())


def load_run(path: str | Path) -> Run:
    """Read a RUN folder (not yet its weights), or one of `shipped`, where there is no folder of
    that name.

    Raises:
        RunError: not a RUN, unfinished, damaged, or of another format version.
    """
    from oddframe.scoring.settings import ScoreConfig

    path, names = Path(path), shipped()
    if not path.exists() and str(path) in names:
        path = SHIPPED / path
    if not path.is_dir():
        or_named = (
            f", or a name of those that come with oddframe: {', '.join(names)}" if names else ""
        )
        raise RunError(
            f"{safe(path)} is not a RUN folder: expected one that `oddframe fit --out` "
            f"wrote{or_named}."
        )
    if not (path / CARD).is_file() or not (path / WEIGHTS).is_file():
        missing = [n for n in (CARD, WEIGHTS) if not (path / n).is_file()]
        unfinished = (path / CURVE).exists() or (path / RESUME).exists()
        todo = (
            "Its training has not finished: run `oddframe fit … --resume` on it."
            if unfinished
            else "Give the folder that `oddframe fit --out` wrote."
        )
        raise RunError(f"{path} is not a finished RUN: {' and '.join(missing)} missing. {todo}")
    try:
        card = json.loads((path / CARD).read_text("utf8"))
        version = card["format"]
    except OSError as error:
        raise RunError(f"{path / CARD} cannot be read: {error.strerror or error}.") from None
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError):
        raise RunError(f"{path / CARD} is damaged: expected the JSON that fit writes.") from None
    if version not in range(1, FORMAT + 1):
        raise RunError(
            f"{path} was written in RUN format {version}, this oddframe reads 1 to {FORMAT}. "
            "Use the oddframe version named in its model.json, or fit the run again."
        )
    try:
        name, config = card["model"], card["config"]
        known = config["model"]
        if version == 1 and "memory_read" in known:
            known = {**_FIRST_MEMORY, **known}
        model_config = type(default_config(name)).recorded(known)
        scene = from_json(card["scene"])
        score = ScoreConfig.read({**_FIRST_SCORE, **config["score"]})
        calibration = card["calibration"]
    except (KeyError, TypeError) as error:
        raise RunError(f"{path / CARD} is damaged: {error} is missing or wrong.") from None
    return Run(path, name, model_config, score, scene, calibration, card)


def check_own(run: Run) -> None:
    """Raise RunError for a RUN that comes with oddframe: it is everybody's and stays as it is."""
    if run.path.parent == SHIPPED:
        raise RunError(
            f"{run.path.name} comes with oddframe and stays as it is. Copy it and give the copy: "
            f"cp -r {run.path} my-{run.path.name}"
        )


def write_calibration(run: Run, calibration: Mapping[str, Any]) -> None:
    """Store a calibration in the RUN's card, atomically.

    Raises:
        RunError: it was trained on since it was read: that threshold is of other weights.
    """
    card = load_run(run.path).card
    if any(card.get(key) != run.card.get(key) for key in ("training", "parts")):
        raise RunError(
            f"{run.path} was trained on while its threshold was found, which is that of the "
            "weights before: calibrate it again. Nothing was changed."
        )
    write_json(run.path / CARD, {**card, "calibration": dict(calibration)})
