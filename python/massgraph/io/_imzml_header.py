"""What the header of an imzML file says: layout, identity of the ibd, traits, pixel size.

pyimzml's `Metadata` and its vocabulary read the header; this module decides what may be believed.
"""

from __future__ import annotations

import math
import re
import warnings
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

from pyimzml.metadata import Metadata, ParamGroup
from pyimzml.ontology.ontology import convert_term_name

from massgraph.io._imzml_spectra import CV, NS, Document, ImzMLError
from massgraph.io._imzml_traits import ACCESSIONS, traits_of

__all__ = ["Header", "read_header"]

CONTINUOUS, PROCESSED = "IMS:1000030", "IMS:1000031"
UUID = "IMS:1000080"
CHECKSUMS = {"IMS:1000090": "md5", "IMS:1000091": "sha1", "IMS:1000092": "sha256"}
PIXEL_SIZE = ("IMS:1000046", "IMS:1000047")
COUNT_X, DIMENSION_X = "IMS:1000042", "IMS:1000044"

# Micrometres per unit. A size without unit is in micrometres, as the imzML specification has it.
MICROMETRES = {
    "": 1.0,
    "micrometer": 1.0,
    "micrometre": 1.0,
    "micron": 1.0,
    "um": 1.0,
    "µm": 1.0,
    "μm": 1.0,
    "nanometer": 1e-3,
    "nanometre": 1e-3,
    "nm": 1e-3,
    "millimeter": 1e3,
    "millimetre": 1e3,
    "mm": 1e3,
    "centimeter": 1e4,
    "centimetre": 1e4,
    "cm": 1e4,
    "meter": 1e6,
    "metre": 1e6,
    "m": 1e6,
}


@dataclass(frozen=True)
class Header:
    """Facts of an imzML file that hold for all its pixels.

    Parameters
    ----------
    layout
        ``"continuous"`` or ``"processed"``.
    uuid
        Hexadecimal digits of the declared UUID as written, without braces and dashes; None where
        absent.
    checksums
        Declared digests by algorithm of `hashlib`, lower case.
    traits
        Polarities, representations and kinds that the file declares for all its spectra.
    pixel_size
        Micrometres in x and y, or None.
    notes
        Warnings for the reader of the file.
    """

    layout: str
    uuid: str | None
    checksums: dict[str, str]
    traits: frozenset[str]
    pixel_size: tuple[float, float] | None
    notes: list[str]


def read_header(path: Path, document: Document) -> Header:
    """Judge the header of a parsed file; raises `ImzMLError` where it cannot be acted on."""
    metadata = _metadata(path, document.root)
    content = metadata.file_description
    notes = _misspelt(metadata)
    uuid = _value(content, UUID)
    if uuid is None:
        notes.append("declares no UUID, so that the .ibd cannot be told from that of another file")
    checksums = {
        algorithm: digest.lower()
        for accession, algorithm in CHECKSUMS.items()
        if (digest := _value(content, accession)) is not None
    }
    if not checksums:
        notes.append("declares no checksum, so that damage inside the .ibd cannot be noticed")
    return Header(
        layout=_layout(path, content),
        # Braces, dashes and case differ between writers and mean nothing.
        uuid=None if uuid is None else re.sub(r"[{}\-\s]|urn:uuid:", "", uuid.lower()),
        checksums=checksums,
        traits=_traits(content, document.root),
        pixel_size=_pixel_size(path, document.root, notes),
        notes=notes,
    )


def _traits(content: ParamGroup, root: ET.Element) -> frozenset[str]:
    """What the file, or its run, says of all its spectra."""
    said = [accession for accession in ACCESSIONS if accession in content]
    of_run = (cv.get("accession", "") for cv in root.iterfind(f"{NS}run/{CV}"))
    return traits_of([*said, *of_run])


def _metadata(path: Path, root: ET.Element) -> Metadata:
    if root.find(f"{NS}fileDescription/{NS}fileContent") is None:
        msg = f"{path}: has no fileDescription with fileContent, so that its layout is unknown"
        raise ImzMLError(msg)
    for cv in root.iter(CV):
        # pyimzml takes an empty value for an absent one, but fails on an absent number.
        cv.attrib.setdefault("value", "")
    with warnings.catch_warnings():
        # pyimzml warns once per odd term; `_misspelt` says the same in one line.
        warnings.simplefilter("ignore")
        try:
            return Metadata(root)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            msg = f"{path}: the header cannot be understood ({error}); export the file again"
            raise ImzMLError(msg) from error


def _value(group: ParamGroup, accession: str) -> str | None:
    value = group.param_by_accession.get(accession)
    return str(value).strip() if isinstance(value, str) and value.strip() else None


def _layout(path: Path, content: ParamGroup) -> str:
    found = [
        name
        for accession, name in ((CONTINUOUS, "continuous"), (PROCESSED, "processed"))
        if accession in content.param_by_accession
    ]
    if len(found) != 1:
        said = "both continuous and processed" if found else "neither continuous nor processed"
        msg = f"{path}: is declared {said}; fileContent needs one of {CONTINUOUS} and {PROCESSED}"
        raise ImzMLError(msg)
    return found[0]


# -------------------------------------------------------------------- pixel size


def _pixel_size(path: Path, root: ET.Element, notes: list[str]) -> tuple[float, float] | None:
    """Pixel size in micrometres; several scan settings must agree."""
    settings = root.findall(f"{NS}scanSettingsList/{NS}scanSettings")
    groups = {group.get("id"): group for group in root.iter(f"{NS}referenceableParamGroup")}
    sizes: dict[tuple[float, float], None] = {}
    for setting in settings:
        terms = list(setting.findall(CV))
        for ref in setting.findall(f"{NS}referenceableParamGroupRef"):
            terms += groups[ref.get("ref")].findall(CV) if ref.get("ref") in groups else []
        size = _size_of(path, {cv.get("accession"): cv for cv in reversed(terms)}, notes)
        if size is not None:
            sizes[size] = None
    if not settings:
        notes.append("has no scan settings, so that the pixel size is unknown")
    elif not sizes:
        notes.append("declares no pixel size that can be used")
    # A guess would be worse than none: lengths and neighbours are taken from it.
    if len(sizes) > 1:
        listed = " and ".join(f"{x:g} x {y:g} um" for x, y in sizes)
        notes.append(f"has scan settings with different pixel sizes ({listed}); size left unknown")
        return None
    return next(iter(sizes), None)


def _size_of(
    path: Path, terms: dict[str | None, ET.Element], notes: list[str]
) -> tuple[float, float] | None:
    x, y = (_length(path, terms.get(accession), notes) for accession in PIXEL_SIZE)
    if x is not None and y is None and PIXEL_SIZE[1] not in terms:
        return _single_size(path, x, terms, notes)
    return None if x is None or y is None else (x, y)


def _single_size(
    path: Path, x: float, terms: dict[str | None, ET.Element], notes: list[str]
) -> tuple[float, float]:
    """Read a lone "pixel size", which early imzML files give as an area.

    Where the width of the image divided by its number of pixels is the square root of the value,
    the value is an area.
    """
    width = _length(path, terms.get(DIMENSION_X), [])
    count = terms[COUNT_X].get("value") if COUNT_X in terms else None
    pixels = _number(count)
    if width is not None and pixels is not None and pixels >= 1:
        side = width / pixels
        if abs(side * side / x - 1) < 0.05 < abs(side / x - 1):
            notes.append(
                f"gives one pixel size, {x:g}, which is an area; sides are {x**0.5:.4g} um"
            )
            return x**0.5, x**0.5
    notes.append(f"gives one pixel size, {x:g} um; pixels are taken as square")
    return x, x


def _length(path: Path, term: ET.Element | None, notes: list[str]) -> float | None:
    """Value of a term in micrometres."""
    if term is None:
        return None
    value = _number(term.get("value"))
    if value is None or value <= 0:
        notes.append(f"{term.get('name')} is {term.get('value')!r}, which is no size")
        return None
    accession, written = term.get("unitAccession") or "", term.get("unitName") or ""
    # The accession is believed before the name, which writers spell as they like.
    named = convert_term_name(accession) if accession else ""
    unit = (named if named and named != accession else written or accession).strip()
    factor = MICROMETRES.get(unit.lower())
    if factor is None:
        msg = (
            f"{path}: {term.get('name')} has the unit {unit!r} ({accession or 'no accession'}), "
            "which is no known length; use micrometer (UO:0000017)"
        )
        raise ImzMLError(msg)
    if written and MICROMETRES.get(written.strip().lower()) != factor:
        notes.append(f"{term.get('name')} has the unit {unit} but names it {written!r}")
    return value * factor


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


# -------------------------------------------------------------------- spelling


def _misspelt(metadata: Metadata) -> list[str]:
    """One warning that lists terms whose name is not that of their accession."""
    groups = [
        metadata.file_description,
        *metadata.referenceable_param_groups.values(),
        *metadata.scan_settings.values(),
        *metadata.instrument_configurations.values(),
    ]
    odd = {
        f"{raw_name!r} for {accession} ({name!r})": None
        for group in groups
        for name, accession, _, raw_name, *_ in group.cv_params
        if name != accession and _plain(name) != _plain(raw_name)
    }
    return [f"names terms unlike the vocabulary: {', '.join(odd)}"] if odd else []


def _plain(name: str | None) -> str:
    """Name without case, punctuation and plural: "pixel size x" is "pixel size (x)"."""
    return re.sub(r"[^a-z0-9]|s\b", "", (name or "").lower())
