"""Configurations: reading, overriding, and errors for the person who typed."""

import json
from typing import ClassVar, Literal

import pytest
from pydantic import Field, ValidationError, model_validator

from oddframe.config import Config, PaperConfig, known_keys, parsed
from oddframe.errors import ConfigError


class Lens(Config):
    zoom: float = Field(1.0, gt=0, le=10)
    """Magnification."""
    kind: Literal["wide", "none", "tele"] = "wide"
    """Which glass."""


class Camera(Config):
    lens: Lens = Lens()
    """Its glass."""
    name: str = "yard"
    """What it is called."""
    sizes: tuple[int, ...] = (64, 128)
    """Picture sizes."""


class Site(Config):
    camera: Camera = Camera()
    """The one camera."""
    rate: int = Field(25, ge=1)
    """Frames per second."""
    limit: float | None = None
    """Alarm threshold; None until calibrated."""
    night: bool = False
    """Keep running in the dark."""

    @model_validator(mode="after")
    def _fits(self) -> "Site":
        if self.night and self.rate > 50:
            raise ValueError(f"night needs rate <= 50, got {self.rate}")
        return self


def test_defaults_and_plain_values():
    assert Site.read({}) == Site()
    site = Site.read({"camera": {"lens": {"zoom": 2}}, "rate": 5})
    assert (site.camera.lens.zoom, site.rate, site.camera.name) == (2.0, 5, "yard")
    assert Site.read(site.model_dump()) == site


def test_a_configuration_is_frozen():
    with pytest.raises(ValidationError):
        Site().rate = 3  # type: ignore[misc]
    assert hash(Lens()) == hash(Lens())


def test_the_string_under_a_field_is_its_documentation():
    assert Lens.model_fields["zoom"].description == "Magnification."


def test_known_keys_are_dotted():
    assert known_keys(Site) == [
        "camera.lens.zoom", "camera.lens.kind", "camera.name", "camera.sizes",
        "rate", "limit", "night",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "path", "value"),
    [
        (["rate=30"], "rate", 30),
        (["rate = 30"], "rate", 30),
        (["camera.lens.zoom=2.5"], "camera.lens.zoom", 2.5),
        (["camera.lens.zoom=5e-1"], "camera.lens.zoom", 0.5),  # YAML 1.1 reads that as text
        (["camera.lens.kind=none"], "camera.lens.kind", "none"),
        (["camera.name=a=b"], "camera.name", "a=b"),
        (["camera.name='7'"], "camera.name", "7"),
        (["camera.sizes=[1, 2, 3]"], "camera.sizes", (1, 2, 3)),
        (["limit=0.5"], "limit", 0.5),
        (["limit=0.5", "limit=null"], "limit", None),
        (["night=yes"], "night", True),
        (["rate=1", "rate=2"], "rate", 2),
    ],
    ids=lambda x: " ".join(x) if isinstance(x, list) else "",
)
def test_override(settings, path, value):
    site = Site()
    changed = found = site.override(settings)
    for key in path.split("."):
        found = getattr(found, key)
    assert found == value
    assert site == Site()  # the old one stays
    keys = {k for k in known_keys(Site) if look(changed, k) != look(site, k)}
    assert keys <= {path}


def look(config, path):
    for key in path.split("."):
        config = getattr(config, key)
    return config


def test_override_of_several_groups_keeps_the_others():
    site = Site().override(["camera.lens.zoom=3"]).override(["camera.name=gate", "rate=9"])
    assert site == Site(camera=Camera(lens=Lens(zoom=3), name="gate"), rate=9)


def test_no_settings_change_nothing():
    assert Site().override([]) == Site()


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("rate", r"--set expects a\.b=value, got 'rate'"),
        ("=3", r"--set expects a\.b=value, got '=3'"),
        ("", "--set expects"),
        ("rat=3", r"Unknown setting 'rat'\. Did you mean rate\?"),
        ("camera.lens.zom=3", r"Did you mean camera\.lens\.zoom\?"),
        ("camera.lense.zoom=3", r"Did you mean camera\.lens\.zoom\?"),
        ("zoom=3", r"Unknown setting 'zoom'\. Did you mean camera\.lens\.zoom\?"),
        ("rate.x=3", "Unknown setting 'rate.x'"),
        ("camera=3", "Unknown setting 'camera'"),  # a whole group is not a value
        ("camera.lens.zoom=[1", "'\\[1' is not a YAML value"),
        ("camera.lens.zoom=11", "camera.lens.zoom: .*less than or equal to 10, found 11"),
        ("camera.lens.zoom=.inf", "camera.lens.zoom: .*finite"),
        ("camera.lens.kind=fish", "'wide', 'none' or 'tele', found 'fish'"),
        ("rate=fast", "Setting rate: .*integer.*found 'fast'"),
        ("rate=", "Setting rate: .*found None"),
        ("camera.sizes=4", "Setting camera.sizes: .*tuple, found 4"),
        ("camera.sizes=[1, x]", "Setting camera.sizes.1: .*found 'x'"),
    ],
)
def test_a_wrong_setting_is_explained(setting, said):
    with pytest.raises(ConfigError, match=said):
        Site().override([setting])


def test_an_unknown_key_lists_what_there_is():
    with pytest.raises(ConfigError) as error:
        Site.read({"camera": {"lens": {"zom": 1}}})
    text = str(error.value)
    assert text.startswith("Unknown setting 'camera.lens.zom'. Did you mean camera.lens.zoom?")
    assert "camera.sizes, rate, limit, night" in text


def test_every_error_is_named_at_once():
    with pytest.raises(ConfigError) as error:
        Site.read({"rate": 0, "camera": {"lens": {"zoom": -1}}})
    assert "Setting rate" in str(error.value)
    assert "Setting camera.lens.zoom" in str(error.value)


def test_a_check_of_several_keys_speaks_for_itself():
    with pytest.raises(ConfigError) as error:
        Site().override(["night=true", "rate=60"])
    assert str(error.value) == "Setting Site: night needs rate <= 50, got 60."


class Printed(PaperConfig):
    LITERAL: ClassVar = {"kind": "print", "weight": 2}

    kind: Literal["ours", "print"] = "ours"
    """How it is done."""
    weight: float = Field(1.0, ge=0)
    """How much."""
    size: int = 8
    """Not in print."""


class Printing(Config):
    model: Printed = Printed()
    """A group that has prints."""


def test_literal_sets_every_field_of_its_table_and_no_other():
    plain, literal = Printed(), Printed.read({"literal": True, "size": 9})
    assert (plain.literal, plain.kind, plain.weight) == (False, "ours", 1)
    assert (literal.literal, literal.kind, literal.weight, literal.size) == (True, "print", 2.0, 9)
    assert Printed(literal=True, kind="ours") == Printed(literal=True)  # the switch forces
    nested = Printing().override(["model.literal=true", "model.size=3"]).model
    assert (nested.kind, nested.weight, nested.size) == ("print", 2.0, 3)


def test_literal_survives_being_written_down():
    literal = Printing().override(["model.literal=true"])
    again = Printing.read(json.loads(json.dumps(literal.model_dump(mode="json"))))
    assert again == literal
    assert again.model.literal
    assert Printing.read({"model": {"size": 9}}).model.kind == "ours"  # written before there was it


@pytest.mark.parametrize("lacking", [False, True], ids=["otherwise", "unknown"])
def test_a_card_older_than_an_entry_of_the_table_keeps_its_values(lacking, monkeypatch):
    written = Printing.read({"model": {"literal": True}}).model_dump(mode="json")
    assert Printing.recorded(written).model == Printed(literal=True)
    monkeypatch.setattr(Printed, "LITERAL", {**Printed.LITERAL, "size": 4})
    if lacking:  # nor had the model this knob
        del written["model"]["size"]
    model = Printing.recorded(written).model
    assert (model.kind, model.weight, model.size) == ("print", 2, 8)
    assert not model.literal  # not all that it says today
    # A setting of something else changes nothing beside it, and `literal` is set anew.
    assert Printing(model=model).override(["model.size=9"]).model.kind == "print"
    assert Printing(model=model).override(["model.literal=true"]).model.size == 4


def test_what_is_recorded_is_checked_as_what_is_read():
    with pytest.raises(ConfigError, match=r"Did you mean model\.weight"):
        Printing.recorded({"model": {"wieght": 1}})


def test_settings_are_parsed_and_the_last_of_a_key_stays():
    assert parsed(["a.b=2", "c = x=y", "a.b=[1, 2]"]) == {"a.b": [1, 2], "c": "x=y"}


def test_a_setting_that_literal_overrules_is_refused():
    for settings in (
        ["model.weight=5", "model.literal=true"],
        ["model.literal=true", "model.weight=5"],
    ):
        with pytest.raises(ConfigError) as error:
            Printing().override(settings)
        assert str(error.value) == (
            "--set model.weight=5 contradicts model.literal=true, which sets it to 2: leave one of "
            "the two out."
        )
    assert Printing().override(["model.literal=true", "model.weight=2.0"]).model.weight == 2
    with pytest.raises(ConfigError, match=r"model\.literal: .*boolean, found 'maybe'"):
        Printing().override(["model.literal=maybe"])
