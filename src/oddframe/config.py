"""Base of all configuration: pydantic, frozen, unknown keys refused with the nearest known one.

Each knob lives beside the class that it configures; this file only knows how to read them.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    StrictBool,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from oddframe.errors import ConfigError

_RECORDED = {"recorded": True}
"""Context of a validation that takes values as they are (`Config.recorded`)."""


class Config(BaseModel):
    """A frozen group of knobs; the string under a field is its documentation."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False
    )

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Self:
        """Validate plain values; where they say `literal`, that holds (`PaperConfig`).

        Raises:
            ConfigError: unknown key (names the nearest one) or value out of range.
        """
        return cls._validated(values, None)

    @classmethod
    def recorded(cls, values: Mapping[str, Any]) -> Self:
        """Validate what a RUN's card holds: nothing is changed of what was trained.

        `literal` then says whether the values are what takes the paper at its word *now*: of a RUN
        made before `LITERAL` had all its entries it is False, whatever the card says.

        Raises:
            ConfigError: as `read`.
        """
        return cls._validated(values, _RECORDED)

    @classmethod
    def _validated(cls, values: Mapping[str, Any], context: Any) -> Self:
        try:
            return cls.model_validate(dict(values), context=context)
        except ValidationError as error:
            raise ConfigError("\n".join(_explain(cls, e) for e in error.errors())) from None

    def override(self, settings: Sequence[str]) -> Self:
        """Apply `a.b=c` settings, values read as YAML, and validate the result.

        Raises:
            ConfigError: a setting without `=`, an unknown key, a value out of range, or one that
                `literal` sets otherwise.
        """
        values, given = self.model_dump(), parsed(settings)
        for path, value in given.items():
            _assign(values, path.split("."), value, path, type(self))
        out = self.read(values)
        out.refuse_forced(given)
        return out

    def refuse_forced(self, given: Mapping[str, Any]) -> None:
        """Hold settings, as `parsed` gives them, against what `literal` sets here.

        Raises:
            ConfigError: one that `literal` sets otherwise.
        """
        for path, value in given.items():
            _refuse_forced(self, path, value)


class PaperConfig(Config):
    """The knobs of a model whose paper prints what the model does otherwise by default."""

    LITERAL: ClassVar[Mapping[str, Any]]
    """Fields, and the value of each that takes the paper at its word."""

    literal: StrictBool = False
    """Take the paper at its word wherever that can be computed: every field in `LITERAL` gets its
    value there, whatever else is said of it. The values of a RUN stay (`recorded`)."""

    @model_validator(mode="before")
    @classmethod
    def _at_its_word(cls, values: Any, info: ValidationInfo) -> Any:
        if isinstance(values, Mapping) and values.get("literal") is True:
            if info.context is not _RECORDED:
                return {**values, **cls.LITERAL}
            fields = cls.model_fields
            held = {name: values.get(name, fields[name].default) for name in cls.LITERAL}
            return {**values, "literal": held == dict(cls.LITERAL)}
        return values


def parsed(settings: Sequence[str]) -> dict[str, Any]:
    """The values of `a.b=c` settings, read as YAML, by their dotted keys; of one key the last.

    Raises:
        ConfigError: a setting without `=` or key, or no YAML.
    """
    given = {}
    for setting in settings:
        path, equals, text = setting.partition("=")
        if not equals or not path.strip():
            raise ConfigError(f"--set expects a.b=value, got {setting!r}.")
        try:
            given[path.strip()] = yaml.safe_load(text)
        except yaml.YAMLError:
            raise ConfigError(f"--set {setting}: {text!r} is not a YAML value.") from None
    return given


def known_keys(config: type[BaseModel], prefix: str = "") -> list[str]:
    """Every dotted key that a configuration accepts."""
    keys = []
    for name, field in config.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            keys += known_keys(inner, f"{prefix}{name}.")
        else:
            keys.append(prefix + name)
    return keys


def _assign(
    values: dict[str, Any], keys: list[str], value: Any, path: str, config: type[BaseModel]
) -> None:
    for key in keys[:-1]:
        if not isinstance(values.get(key), dict):
            raise ConfigError(_unknown(config, path))
        values = values[key]
    if keys[-1] not in values or isinstance(values[keys[-1]], dict):
        raise ConfigError(_unknown(config, path))
    values[keys[-1]] = value


def _refuse_forced(config: Config, path: str, value: Any) -> None:
    *groups, name = path.split(".")
    for group in groups:
        config = getattr(config, group)
    if isinstance(config, PaperConfig) and config.literal and name in config.LITERAL:
        forced = config.LITERAL[name]
        if value != forced:
            switch = ".".join([*groups, "literal"])
            raise ConfigError(
                f"--set {path}={value} contradicts {switch}=true, which sets it to {forced}: leave "
                "one of the two out."
            )


def _unknown(config: type[BaseModel], path: str) -> str:
    known = known_keys(config)
    near = difflib.get_close_matches(path, known, n=1, cutoff=0.3)
    if not near:  # a bare last name typed without its group
        last = {k.rsplit(".", 1)[-1]: k for k in known}
        near = [last[m] for m in difflib.get_close_matches(path.rsplit(".", 1)[-1], last, 1, 0.3)]
    hint = f" Did you mean {near[0]}?" if near else ""
    return f"Unknown setting {path!r}.{hint} Known settings: {', '.join(known)}."


def _explain(config: type[BaseModel], error: Any) -> str:
    path = ".".join("an address" if _may_hold_password(p) else str(p) for p in error["loc"])
    if error["type"] == "extra_forbidden":
        return _unknown(config, path)
    if error["type"] == "value_error":  # our own check: its text names the keys and the values
        return f"Setting {path or config.__name__}: {error['ctx']['error']}."
    found = "" if error["type"] == "missing" else f", found {_shown(error['input'])}"
    return f"Setting {path or config.__name__}: {error['msg']}{found}."


def _shown(value: Any) -> str:
    """What stands there; not where a password may be in it: messages go into logs."""
    if isinstance(value, Mapping):
        return "keys with values"
    if isinstance(value, list | tuple):
        return "a list"
    return "an address" if _may_hold_password(value) else repr(value)


def _may_hold_password(value: Any) -> bool:
    return isinstance(value, str) and ("@" in value or "://" in value)
