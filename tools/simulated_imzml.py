"""Write a simulated tissue as an imzML file of any size, and a model fitted to one like it.

A million pixels take some two minutes, 2.5 GB of disk and little memory::

    .venv/bin/python tools/simulated_imzml.py --side 1000 big/
    .venv/bin/massgraph predict big/model big/run.imzML --out result/
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import BinaryIO, TextIO

import numpy as np

import massgraph as mg
from massgraph.data.spectra import Spectra
from massgraph.simulation.simulate import OFF_TISSUE, simulate_chunks

PRESET, CLASSES = "tiny", 3
UUID = "00112233445566778899aabbccddeeff"

HEAD = """<?xml version="1.0" encoding="utf-8"?>
<mzML xmlns="http://psi.hupo.org/ms/mzml" version="1.1">
<cvList count="3">
<cv id="MS" fullName="Mass Spectrometry" version="1" URI="http://psidev.info/ms/psi-ms.obo"/>
<cv id="IMS" fullName="Imaging Mass Spectrometry" version="1" URI="http://imzml.org/ims.obo"/>
<cv id="UO" fullName="Units" version="1" URI="http://purl.obolibrary.org/obo/uo.obo"/>
</cvList>
<fileDescription><fileContent>
<cvParam cvRef="MS" accession="MS:1000294" name="mass spectrum" value=""/>
<cvParam cvRef="IMS" accession="IMS:1000080" name="universally unique identifier" value="{uuid}"/>
<cvParam cvRef="IMS" accession="IMS:1000031" name="processed" value=""/>
</fileContent></fileDescription>
<referenceableParamGroupList count="3">
<referenceableParamGroup id="mz">
<cvParam cvRef="MS" accession="MS:1000514" name="m/z array" value=""/>
<cvParam cvRef="MS" accession="MS:1000523" name="64-bit float" value=""/>
<cvParam cvRef="MS" accession="MS:1000576" name="no compression" value=""/>
<cvParam cvRef="IMS" accession="IMS:1000101" name="external data" value="true"/>
</referenceableParamGroup>
<referenceableParamGroup id="intensity">
<cvParam cvRef="MS" accession="MS:1000515" name="intensity array" value=""/>
<cvParam cvRef="MS" accession="MS:1000521" name="32-bit float" value=""/>
<cvParam cvRef="MS" accession="MS:1000576" name="no compression" value=""/>
<cvParam cvRef="IMS" accession="IMS:1000101" name="external data" value="true"/>
</referenceableParamGroup>
<referenceableParamGroup id="spectrum">
<cvParam cvRef="MS" accession="MS:1000127" name="centroid spectrum" value=""/>
<cvParam cvRef="MS" accession="MS:1000130" name="positive scan" value=""/>
</referenceableParamGroup>
</referenceableParamGroupList>
<scanSettingsList count="1"><scanSettings id="scan">
<cvParam cvRef="IMS" accession="IMS:1000042" name="max count of pixels x" value="{side}"/>
<cvParam cvRef="IMS" accession="IMS:1000043" name="max count of pixels y" value="{side}"/>
</scanSettings></scanSettingsList>
<instrumentConfigurationList count="1"><instrumentConfiguration id="none">
<cvParam cvRef="MS" accession="MS:1000031" name="instrument model" value="simulated"/>
</instrumentConfiguration></instrumentConfigurationList>
<run id="run1"><spectrumList count="{count}">
"""
TERM = '<cvParam cvRef="IMS" accession="IMS:{}" name="{}" value="{}"/>'
ARRAY = (
    '<binaryDataArray encodedLength="0"><referenceableParamGroupRef ref="{role}"/>'
    + TERM.format(1000103, "external array length", "{length}")
    + TERM.format(1000104, "external encoded length", "{size}")
    + TERM.format(1000102, "external offset", "{offset}")
    + "<binary/></binaryDataArray>"
)
SPECTRUM = (
    '<spectrum id="{index}" index="{index}" defaultArrayLength="0">'
    '<referenceableParamGroupRef ref="spectrum"/><scanList count="1"><scan>'
    + TERM.format(1000050, "position x", "{x}")
    + TERM.format(1000051, "position y", "{y}")
    + '</scan></scanList><binaryDataArrayList count="2">{arrays}</binaryDataArrayList></spectrum>\n'
)


class _Writer:
    """Appends pixels to the two halves of a file; m/z as float64, intensities as float32."""

    def __init__(self, xml: TextIO, ibd: BinaryIO, side: int) -> None:
        self.xml, self.ibd, self.index = xml, ibd, 0
        xml.write(HEAD.format(uuid=UUID, side=side, count=side * side))
        ibd.write(bytes.fromhex(UUID))

    def add(self, spectra: Spectra) -> None:
        places = spectra.coordinates
        if places is None:
            msg = "spectra without coordinates have no place in an image"
            raise ValueError(msg)
        at = self.ibd.tell()
        for number, (x, y) in enumerate(places[:, :2].astype(int).tolist()):
            mz, intensity = spectra.pixel(number)
            arrays = ""
            for role, values in (("mz", mz), ("intensity", intensity)):
                self.ibd.write(values.tobytes())
                size = values.nbytes
                arrays += ARRAY.format(role=role, length=values.size, size=size, offset=at)
                at += size
            self.xml.write(SPECTRUM.format(index=self.index, x=x, y=y, arrays=arrays))
            self.index += 1

    def finish(self) -> None:
        self.xml.write("</spectrumList></run>\n</mzML>\n")


def write_run(path: Path, side: int, seed: int) -> None:
    """Write `side` x `side` pixels as `path` and its .ibd."""
    with path.open("w", encoding="utf-8") as xml, path.with_suffix(".ibd").open("wb") as ibd:
        writer = _Writer(xml, ibd, side)
        for chunk in simulate_chunks(
            PRESET, n_runs=1, shape=(side, side), n_classes=CLASSES, random_state=seed
        ):
            writer.add(chunk.spectra)
        writer.finish()


def write_model(path: Path, seed: int) -> None:
    """Fit the default network to a small tissue of the same molecules."""
    spectra, _ = simulation = mg.simulate(
        PRESET, n_runs=2, shape=(40, 40), n_classes=CLASSES, random_state=seed
    )
    labels = np.where(simulation.truth == OFF_TISSUE, None, simulation.truth)
    mg.RGCNClassifier(random_state=seed, epochs=20).fit(spectra, labels).save(path)


def main() -> int:
    """Write run.imzML, run.ibd and model/ into the folder given."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--side", type=int, default=1000, help="pixels along each side (1000)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    write_run(arguments.folder / "run.imzML", arguments.side, arguments.seed)
    if not (arguments.folder / "model").exists():
        write_model(arguments.folder / "model", arguments.seed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
