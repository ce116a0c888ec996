"""A segmentation as the named values that R's `SpatialRGCN` holds, and back."""

from __future__ import annotations

import io
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from massgraph._util.errors import InputError
from massgraph.data.spectra import Spectra
from massgraph.explain.activation import Explanation
from massgraph.fitted import fitted_model
from massgraph.segmentation import Segmentation
from massgraph.store import Model, ModelError, load, save

__all__ = [
    "model_from_bytes",
    "model_to_bytes",
    "model_values",
    "plain",
    "result_values",
    "segmentation_from_values",
]

# Bytes of a model once unpacked; what claims more is not unpacked.
LARGEST_MODEL = 2**31


def result_values(segmentation: Segmentation, model: Any = None) -> dict[str, Any]:
    """Collect everything that R keeps of a segmentation, by the names it has there.

    Parameters
    ----------
    segmentation
        With its explanation.
    model
        The fitted model or estimator, so that R can predict with it; without it
        `contributions`, `relations`, `n_parameters` and `state` are absent.

    Returns
    -------
    dict
        `class` (factor), `probability` (pixels x classes), `uncertainty`, `coverage` (None where
        the model cannot tell), `mz` and the matrices
        ions x classes `activation` (mean contribution to the logit of a class over the pixels of
        that class) and `centers` (mean share of the ion current there), the tables `ions`,
        `families`, `family_edges`, `history`, `contributions` (of the branches; None for one net)
        and `relations`, `settings`, `reference`, `training`,
        `validation`, `polarity`, `versions`, `n_parameters` and `state` (bytes of the model).

    Raises
    ------
    ValueError
        Where the segmentation has no explanation.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.r.results import result_values
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> clf = mg.RGCNClassifier(branches=("axis",), folds=2, augment=0).fit(spectra, labels)
    >>> values = result_values(clf.segment(spectra), clf)
    >>> values["classes"]
    ['epithelium', 'muscle', 'stroma']
    """
    explanation = segmentation.explanation
    if explanation is None:
        msg = "the segmentation has no explanation: make it with segment(..., explain=True)"
        raise InputError(msg)
    ions, classes = explanation.ions, list(segmentation.classes)
    wide = [f"{kind}_{name}" for kind in ("activation", "intensity") for name in classes]
    return {
        "classes": classes,
        "class": segmentation.label,
        "probability": segmentation.probability,
        "uncertainty": segmentation.uncertainty,
        "coverage": segmentation.coverage,
        "mz": explanation.mz,
        "activation": ions[[f"activation_{name}" for name in classes]].to_numpy(np.float64),
        "centers": ions[[f"intensity_{name}" for name in classes]].to_numpy(np.float64),
        "intercept": explanation.intercept,
        "ions": ions.drop(columns=wide),
        "families": explanation.families,
        "family_edges": explanation.family_edges,
        "history": segmentation.history,
        "settings": {name: plain(value) for name, value in segmentation.parameters.items()},
        "reference": segmentation.reference,
        "training": segmentation.training,
        "validation": segmentation.validation,
        "polarity": segmentation.polarity,
        "versions": segmentation.versions,
        **({} if model is None else model_values(model)),
    }


def model_values(model: Any) -> dict[str, Any]:
    """Collect those of `result_values` that a fitted model or estimator has without any pixels.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.r.results import model_values
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> clf = mg.RGCNClassifier(branches=("axis",), folds=2, augment=0).fit(spectra, labels)
    >>> model_values(clf)["contributions"]["branch"].tolist()
    ['axis', 'all']
    """
    fitted = fitted_model(model)
    return {
        "classes": list(fitted.outputs.names),
        "history": fitted.origin.history,
        "contributions": fitted.origin.contributions,
        "relations": fitted.settings.relations.to_frame(),
        "settings": {name: plain(value) for name, value in fitted.summary().items()},
        "polarity": fitted.origin.polarity,
        "n_parameters": fitted.n_parameters,
        "state": model_to_bytes(fitted),
    }


def plain(value: Any) -> Any:
    """A setting as R takes it: lists of one type as vectors.

    Examples
    --------
    >>> from massgraph.r.results import plain
    >>> plain([8, 16]).tolist(), plain("ppm")
    ([8, 16], 'ppm')
    """
    return np.array(value) if isinstance(value, (list, tuple)) and value else value


# -------------------------------------------------------------------- the model as bytes


def model_to_bytes(model: Model) -> bytes:
    """Put a fitted model into bytes: its folder as a ZIP archive, equal for equal models.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.r.results import model_to_bytes
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> clf = mg.RGCNClassifier(branches=("axis",), folds=2, augment=0).fit(spectra, labels)
    >>> model_to_bytes(clf.fitted_)[:2]
    b'PK'
    """
    buffer = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder:
        save(model, Path(folder) / "model")
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted((Path(folder) / "model").iterdir()):
                # A date would make equal models differ.
                entry = zipfile.ZipInfo(path.name, date_time=(1980, 1, 1, 0, 0, 0))
                archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def model_from_bytes(data: bytes) -> Model:
    """Read the model of `model_to_bytes`, checked as by `massgraph.load`.

    Raises
    ------
    ModelError
        Where the bytes are no such archive, or the model in it is damaged.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.r.results import model_from_bytes, model_to_bytes
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> clf = mg.RGCNClassifier(branches=("axis",), folds=2, augment=0).fit(spectra, labels)
    >>> model = model_from_bytes(model_to_bytes(clf.fitted_))
    >>> bool((model.logits(spectra) == clf.fitted_.logits(spectra)).all())
    True
    """
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        model.mkdir()
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                _unpack(archive, model)
        # In this order: no archive, unknown compression, encrypted, or cut off.
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
            msg = f"the stored model is damaged ({error}): fit it again, or use another copy"
            raise ModelError(msg) from error
        return load(model)


def _unpack(archive: zipfile.ZipFile, folder: Path) -> None:
    entries = archive.infolist()
    size = sum(entry.file_size for entry in entries)
    if size > LARGEST_MODEL:
        msg = f"the stored model claims {size} bytes, more than any model has"
        raise ModelError(msg)
    for entry in entries:
        # A path in a name could lead out of the folder.
        if Path(entry.filename).name != entry.filename:
            msg = f"the stored model holds {entry.filename!r}, which is no file of a model"
            raise ModelError(msg)
        (folder / entry.filename).write_bytes(archive.read(entry))


# -------------------------------------------------------------------- back from R


def segmentation_from_values(values: dict[str, Any], pixels: dict[str, Any]) -> Segmentation:
    """Make a segmentation of what R holds: without the peaks, which R keeps in the data.

    Parameters
    ----------
    values
        As of `result_values`, as Python values.
    pixels
        `coordinates`, `run` and `names` as for `Spectra`.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.r.results import result_values, segmentation_from_values
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> clf = mg.RGCNClassifier(branches=("axis",), folds=2, augment=0).fit(spectra, labels)
    >>> values = result_values(clf.segment(spectra))
    >>> again = segmentation_from_values(values, {"coordinates": spectra.coordinates})
    >>> again.n_pixels == spectra.n_pixels
    True
    """
    classes = tuple(values["classes"])
    n_pixels = len(values["probability"])
    spectra = Spectra.from_peaks([([], [])] * n_pixels, polarity=values["polarity"], **pixels)
    return Segmentation(
        classes=classes,
        probability=values["probability"],
        label=values["class"],
        uncertainty=values["uncertainty"],
        spectra=spectra,
        run=spectra.run,
        coordinates=spectra.coordinates,
        names=spectra.names,
        polarity=values["polarity"],
        coverage=values.get("coverage"),
        reference=values["reference"],
        training=values["training"],
        validation=values["validation"],
        explanation=_explanation(values, classes, n_pixels),
        history=values["history"],
        parameters=values["settings"],
        versions=values["versions"],
    )


def _explanation(values: dict[str, Any], classes: tuple[str, ...], n_pixels: int) -> Explanation:
    n_ions = len(values["mz"])
    if "direction" not in values["families"]:
        msg = "this result was made by an older massgraph, with other tables: fit again to write it"
        raise InputError(msg)
    columns = {
        f"{kind}_{name}": values[source][:, place]
        for kind, source in (("activation", "activation"), ("intensity", "centers"))
        for place, name in enumerate(classes)
    }
    return Explanation(
        classes=classes,
        mz=values["mz"],
        activation={name: sp.csr_matrix((n_pixels, n_ions)) for name in classes},
        intercept=values["intercept"],
        peak_counts=np.zeros(n_pixels, dtype=np.int64),
        labels=np.asarray(values["class"].codes, dtype=np.int64),
        ions=pd.concat([values["ions"], pd.DataFrame(columns)], axis=1),
        families=values["families"],
        family_edges=values["family_edges"],
    )
