"""Writes imzML pairs byte by byte, sharing no code with any reader or writer of imzML.

A reader and a writer from one code base agree on each other's mistakes; here every tag and every
byte of the .ibd is put down by hand, so that a test can also damage exactly one of them.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

UUID_HEX = "00112233445566778899aabbccddeeff"

# struct letter, accession and name of each precision
PRECISION = {
    "f4": ("f", "MS:1000521", "32-bit float"),
    "f8": ("d", "MS:1000523", "64-bit float"),
    "i4": ("i", "IMS:1000141", "32-bit integer"),
    "i8": ("q", "IMS:1000142", "64-bit integer"),
    "i8ms": ("q", "MS:1000522", "64-bit integer"),
    "i2": ("h", "IMS:1100001", "16-bit integer"),
    # Stored without a sign, declared with one: the vocabularies have no other terms.
    "u2": ("H", "IMS:1100001", "16-bit integer"),
    "u4": ("I", "MS:1000519", "32-bit integer"),
    # Some writers say so in the name.
    "u4named": ("I", "MS:1000519", "32-bit unsigned integer"),
}
MODE = {
    "centroid": ("MS:1000127", "centroid spectrum"),
    "profile": ("MS:1000128", "profile spectrum"),
}
POLARITY = {
    "negative": ("MS:1000129", "negative scan"),
    "positive": ("MS:1000130", "positive scan"),
}
LAYOUT = {"continuous": ("IMS:1000030", "continuous"), "processed": ("IMS:1000031", "processed")}
CHECKSUM = {
    "md5": ("IMS:1000090", "ibd MD5"),
    "sha1": ("IMS:1000091", "ibd SHA-1"),
    "sha256": ("IMS:1000092", "ibd SHA-256"),
}


@dataclass
class Pixel:
    """One spectrum as it shall stand in the file."""

    x: int | str
    y: int | str
    mz: Sequence[float]
    intensity: Sequence[float]
    z: int | None = None
    run: int = 0
    terms: Sequence[str] = ()
    mobility: Sequence[float] | None = None


PIXELS = (
    Pixel(1, 1, (100.0, 200.5, 300.25), (10.0, 20.0, 30.0)),
    Pixel(2, 1, (101.0, 201.5), (1.0, 2.0)),
    Pixel(1, 2, (100.0, 150.0, 200.0, 250.0), (4.0, 3.0, 2.0, 1.0)),
    Pixel(2, 2, (500.125,), (7.0,)),
)


def term(accession: str, name: str, value: object = "", extra: str = "") -> str:
    """One cvParam element."""
    ref = accession.partition(":")[0]
    return f'<cvParam cvRef="{ref}" accession="{accession}" name="{name}" value="{value}"{extra}/>'


def unit(accession: str, name: str) -> str:
    """Attributes that give a term its unit."""
    return f' unitCvRef="UO" unitAccession="{accession}" unitName="{name}"'


SIZE_20_UM = (
    term("IMS:1000046", "pixel size (x)", "20", unit("UO:0000017", "micrometer")),
    term("IMS:1000047", "pixel size y", "20", unit("UO:0000017", "micrometer")),
)


MS1 = term("MS:1000579", "MS1 spectrum")
MSN = term("MS:1000580", "MSn spectrum")


def level(number: object) -> str:
    """The MS level of a spectrum."""
    return term("MS:1000511", "ms level", number)


@dataclass
class Builder:
    """What to write; `write` puts it into a folder."""

    pixels: Sequence[Pixel] = PIXELS
    layout: str | None = "processed"
    mz_type: str = "f8"
    intensity_type: str = "f4"
    mode: str | None = "centroid"
    polarity: str | None = "positive"
    checksum: str | None = "sha1"
    uuid: str | None = UUID_HEX
    inline: bool = False
    settings: Sequence[Sequence[str]] = (SIZE_20_UM,)
    encoding: str = "utf-8"
    declaration: str | None = None
    encoded_length: bool = True
    trailing: bytes = b""
    level: str | None = "1"
    content: Sequence[str] = (MS1,)
    mz_offsets: list[int] = field(default_factory=list)
    intensity_offsets: list[int] = field(default_factory=list)
    mobility_offsets: list[int] = field(default_factory=list)

    # ---------------------------------------------------------------- the binary half

    def ibd(self) -> bytes:
        """Bytes of the .ibd; notes where each array begins."""
        data = bytes.fromhex(UUID_HEX)
        self.mz_offsets, self.intensity_offsets, self.mobility_offsets = [], [], []
        for pixel in self.pixels:
            if self.layout != "continuous" or not self.mz_offsets:
                self.mz_offsets.append(len(data))
                data += self._pack(pixel.mz, self.mz_type)
            else:
                self.mz_offsets.append(self.mz_offsets[0])
            self.intensity_offsets.append(len(data))
            data += self._pack(pixel.intensity, self.intensity_type)
            self.mobility_offsets.append(len(data))
            data += self._pack(pixel.mobility or (), "f8")
        return data + self.trailing

    @staticmethod
    def _pack(values: Sequence[float], precision: str) -> bytes:
        letter = PRECISION[precision][0]
        numbers = [v if letter in "fd" else int(v) for v in values]
        return struct.pack(f"<{len(values)}{letter}", *numbers)

    # ---------------------------------------------------------------- the XML half

    def xml(self, ibd: bytes) -> str:
        """Text of the .imzML."""
        runs: dict[int, list[str]] = {}
        for index, pixel in enumerate(self.pixels):
            runs.setdefault(pixel.run, []).append(self._spectrum(index, pixel))
        body = "\n".join(
            f'<run id="run{number}"><spectrumList count="{len(spectra)}">\n'
            + "\n".join(spectra)
            + "\n</spectrumList></run>"
            for number, spectra in runs.items()
        )
        declaration = self.declaration
        if declaration is None:
            declaration = f'<?xml version="1.0" encoding="{self.encoding}"?>'
        return "\n".join(
            (
                declaration,
                '<mzML xmlns="http://psi.hupo.org/ms/mzml" version="1.1">',
                self._content(ibd),
                self._groups(),
                self._settings(),
                body,
                "</mzML>",
            )
        )

    def _content(self, ibd: bytes) -> str:
        terms = [*self.content]
        if self.layout:
            terms.append(term(*LAYOUT[self.layout]))
        if self.uuid:
            terms.append(term("IMS:1000080", "universally unique identifier", self.uuid))
        if self.checksum:
            digest = hashlib.new(self.checksum, ibd).hexdigest()
            terms.append(term(*CHECKSUM[self.checksum], digest))
        inner = "\n".join(terms)
        return f"<fileDescription><fileContent>\n{inner}\n</fileContent></fileDescription>"

    def _array_terms(self, role: str) -> str:
        accession, name = {
            "mz": ("MS:1000514", "m/z array"),
            "intensity": ("MS:1000515", "intensity array"),
            "mobility": ("MS:1003006", "mean inverse reduced ion mobility array"),
        }[role]
        precision = {"mz": self.mz_type, "intensity": self.intensity_type, "mobility": "f8"}[role]
        return "\n".join(
            (
                term(accession, name),
                term(*PRECISION[precision][1:]),
                term("MS:1000576", "no compression"),
                term("IMS:1000101", "external data", "true"),
            )
        )

    def _groups(self) -> str:
        spectrum = [level(self.level)] if self.level is not None else []
        spectrum += [term(*MODE[self.mode])] if self.mode else []
        spectrum += [term(*POLARITY[self.polarity])] if self.polarity else []
        groups = {"spectrum": "\n".join(spectrum)}
        if not self.inline:
            groups |= {role: self._array_terms(role) for role in ("mz", "intensity", "mobility")}
        inner = "\n".join(
            f'<referenceableParamGroup id="{name}">\n{terms}\n</referenceableParamGroup>'
            for name, terms in groups.items()
        )
        return f"<referenceableParamGroupList>\n{inner}\n</referenceableParamGroupList>"

    def _settings(self) -> str:
        if not self.settings:
            return ""
        inner = "\n".join(
            f'<scanSettings id="s{number}">\n' + "\n".join(terms) + "\n</scanSettings>"
            for number, terms in enumerate(self.settings)
        )
        return f"<scanSettingsList>\n{inner}\n</scanSettingsList>"

    def _spectrum(self, index: int, pixel: Pixel) -> str:
        place = [
            term("IMS:1000050", "position x", pixel.x),
            term("IMS:1000051", "position y", pixel.y),
        ]
        if pixel.z is not None:
            place.append(term("IMS:1000052", "position z", pixel.z))
        arrays = "\n".join(
            (
                self._array("mz", self.mz_offsets[index], pixel.mz, self.mz_type),
                self._array(
                    "intensity", self.intensity_offsets[index], pixel.intensity, self.intensity_type
                ),
            )
        )
        if pixel.mobility is not None:
            offset = self.mobility_offsets[index]
            arrays += "\n" + self._array("mobility", offset, pixel.mobility, "f8")
        where = "\n".join(place)
        own = "".join(f"{one}\n" for one in pixel.terms)
        return (
            f'<spectrum id="s{index}" index="{index}" defaultArrayLength="0">\n'
            f'<referenceableParamGroupRef ref="spectrum"/>\n{own}'
            f'<scanList count="1"><scan>\n{where}\n</scan></scanList>\n'
            f'<binaryDataArrayList count="2">\n{arrays}\n</binaryDataArrayList>\n</spectrum>'
        )

    def _array(self, role: str, offset: int, values: Sequence[float], precision: str) -> str:
        size = struct.calcsize("<" + PRECISION[precision][0])
        terms = [
            self._array_terms(role)
            if self.inline
            else f'<referenceableParamGroupRef ref="{role}"/>',
            term("IMS:1000102", "external offset", offset),
            term("IMS:1000103", "external array length", len(values)),
        ]
        if self.encoded_length:
            terms.append(term("IMS:1000104", "external encoded length", size * len(values)))
        inner = "\n".join(terms)
        return f'<binaryDataArray encodedLength="0">\n{inner}\n<binary/>\n</binaryDataArray>'

    def write(self, folder: Path, name: str = "image") -> Path:
        """Write both files and return the path of the .imzML."""
        folder.mkdir(parents=True, exist_ok=True)
        ibd = self.ibd()
        (folder / f"{name}.ibd").write_bytes(ibd)
        path = folder / f"{name}.imzML"
        path.write_bytes(self.xml(ibd).encode(self.encoding))
        return path


def edit(path: Path, old: str, new: str, count: int = 1) -> Path:
    """Replace text in the .imzML; the text must be there."""
    text = path.read_text(encoding="utf-8")
    if old not in text:
        msg = f"{old!r} is not in {path.name}"
        raise ValueError(msg)
    path.write_text(text.replace(old, new, count), encoding="utf-8")
    return path


def resize(path: Path, change: int) -> Path:
    """Cut bytes from the end of the .ibd (negative) or add zeros to it."""
    ibd = path.with_suffix(".ibd")
    data = ibd.read_bytes()
    ibd.write_bytes(data[:change] if change < 0 else data + bytes(change))
    return path
