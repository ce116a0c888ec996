"""Presets, and that no setting is taken as it comes."""

from __future__ import annotations

from dataclasses import fields

import massgraph as mg
from massgraph.learn import settings as settings_module
from massgraph.learn.settings import PRESETS, Settings, resolve_settings


def test_every_setting_has_a_type() -> None:
    """A setting that is not checked would be taken from a file or a user as it comes."""
    checked = {name for _, names in settings_module.TYPES.values() for name in names}
    assert checked | {"relations"} == {field.name for field in fields(Settings)}


def test_settings_of_the_default_preset() -> None:
    settings = resolve_settings("default", "negative", {"tolerance": 3, "epochs": None})
    assert settings.tolerance == 3
    assert settings.epochs == 24
    assert settings.relations == mg.default_relations("negative")
    assert set(PRESETS) == {"default", "published"}
    assert not settings.as_published
