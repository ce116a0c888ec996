"""What decides how spectra become graphs and features: the settings that encoding reads."""

from __future__ import annotations

from dataclasses import dataclass

from massgraph._util.errors import InputError
from massgraph.chem.relations import Relations
from massgraph.data.alignment import UNITS
from massgraph.encode.features import feature_names
from massgraph.encode.tolerance import USUAL_PPM
from massgraph.graph.search import RULES

__all__ = ["EncoderSettings", "check_encoder_settings"]


@dataclass(frozen=True)
class EncoderSettings:
    """Resolved settings of an encoder; see `RGCNClassifier` for what each one means.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.encode.settings import EncoderSettings
    >>> EncoderSettings(mg.default_relations("positive")).rule
    'intensity'
    """

    relations: Relations
    tolerance: float = USUAL_PPM
    tolerance_unit: str = "ppm"
    rule: str = "intensity"
    directed: bool = True
    features: tuple[str, ...] = ("log_intensity", "mz", "mass_defect")
    standardize: bool = True
    mz_range: tuple[float, float] | None = None
    max_peaks: int | None = None


def check_encoder_settings(settings: EncoderSettings) -> None:
    """Refuse settings out of their range; the error names the setting.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.encode.settings import EncoderSettings, check_encoder_settings
    >>> check_encoder_settings(EncoderSettings(mg.default_relations(), rule="any"))
    Traceback (most recent call last):
    ...
    massgraph._util.errors.InputError: rule 'any' is none of ('intensity', 'nearest', 'all', ...)
    """
    feature_names(settings.features)
    for name, allowed in (("rule", tuple(RULES)), ("tolerance_unit", UNITS)):
        if getattr(settings, name) not in allowed:
            msg = f"{name} {getattr(settings, name)!r} is none of {allowed}"
            raise InputError(msg)
    for name in ("tolerance", "max_peaks"):
        value = getattr(settings, name)
        if value is not None and not value > 0:
            msg = f"{name} {value} is not above 0"
            raise InputError(msg)
    span = settings.mz_range
    if span is not None and not (len(span) == 2 and span[0] < span[1]):
        msg = f"mz_range {span} is not a lowest and a highest m/z"
        raise InputError(msg)
