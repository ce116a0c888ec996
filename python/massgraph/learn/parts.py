"""From labelled pixels to the parts of a model: what `RGCNClassifier.fit` has made and trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from massgraph._util.threads import lent_generator
from massgraph.encode.encoder import degraded_copy, weighing_copy
from massgraph.encode.features import feature_names
from massgraph.encode.ions import N_CONTEXT
from massgraph.graph.batch import PeakGraphs
from massgraph.learn.cross_fit import Versions, cross_fit
from massgraph.learn.discriminants import fit_discriminants
from massgraph.learn.training import LabelledGraphs, train
from massgraph.nn.branch_model import BranchModel
from massgraph.nn.discriminants import DISCRIMINANTS, Discriminants
from massgraph.nn.nets import PeakNet, RelationalNet
from massgraph.nn.rgcn import RGCN

if TYPE_CHECKING:
    from massgraph.classifier import RGCNClassifier
    from massgraph.data.spectra import Spectra
    from massgraph.learn.checkpoints import Checkpoints

__all__ = ["fit_folds", "fit_one", "new_model"]

WEIGHING_COPIES = 2


def fit_folds(
    classifier: RGCNClassifier,
    labelled: Spectra,
    y: NDArray[np.int64],
    fold: NDArray[np.int64],
    seeds: list[np.random.SeedSequence],
    checkpoints: Checkpoints | None,
) -> None:
    """Fit branches once per fold, and the weights of their sum, in place.

    Parameters
    ----------
    classifier
        Whose settings, classes and encoder are known.
    labelled, y, fold
        Preprocessed pixels, their class codes and folds.
    seeds
        Four: the second is for degraded copies, the third for the parts.
    checkpoints
        Where the state of each net is kept.
    """
    settings = classifier.settings_
    copies = WEIGHING_COPIES if len(settings.branches) > 1 and settings.augment else 0
    versions = _versions(classifier, labelled, y, seeds[1], copies)
    classifier.n_nets_ = int(fold.max()) + 1
    model, history, classifier.contributions_ = cross_fit(
        versions,
        fold,
        settings,
        lambda branch, seed: _new_part(classifier, branch, seed, _n_ions(classifier)),
        device=classifier.device_(),
        seeds=seeds[2].spawn(len(settings.branches) * classifier.n_nets_),
        checkpoints=checkpoints,
    )
    classifier.model_ = model
    classifier.history_ = history if len(history) else None


def fit_one(
    classifier: RGCNClassifier,
    labelled: Spectra,
    y: NDArray[np.int64],
    held_out: NDArray[np.bool_],
    seeds: list[np.random.SeedSequence],
    checkpoints: Checkpoints | None,
) -> None:
    """Fit a single branch of one part, whose training the pixels held out stop, in place.

    Parameters are those of `fit_folds`; the last seed is for the training.
    """
    settings, device = classifier.settings_, classifier.device_()
    versions = _versions(classifier, labelled[~held_out], y[~held_out], seeds[1])
    classifier.n_nets_ = 1
    # The published weights start from seed 0 whatever the seed of the split.
    seed = 0 if settings.as_published else int(seeds[2].generate_state(1)[0])
    part = _new_part(classifier, settings.branches[0], seed, _n_ions(classifier))
    if isinstance(part, Discriminants):
        fit_discriminants(
            part, versions, np.arange(len(versions.y)), np.random.default_rng(seeds[3])
        )
    else:
        classifier.history_ = train(
            part.to(device),
            LabelledGraphs(versions.graphs, versions.y),
            LabelledGraphs(classifier.encoder_.encode(labelled[held_out]), y[held_out]),
            settings,
            device=device,
            rng=np.random.default_rng(0 if settings.as_published else seeds[3]),
            checkpoint=checkpoints.net(1) if checkpoints else None,
        )
    whole = (
        cast("RGCN", part) if settings.as_published else BranchModel({settings.branches[0]: [part]})
    )
    classifier.model_ = whole.to(device).eval()


def new_model(classifier: RGCNClassifier, n_ions: int | None) -> RGCN | BranchModel:
    """An empty model of the shape of the fitted one, to put saved weights into.

    `n_ions` is the number of ions of the axis, None for the network as published.
    """
    if n_ions is None:
        return cast("RGCN", _new_part(classifier, "relational", 0, None))
    parts = {
        name: [
            _new_part(classifier, name, 0, n_ions)
            for _ in range(1 if name in DISCRIMINANTS else classifier.n_nets_)
        ]
        for name in classifier.settings_.branches
    }
    return BranchModel(parts)


def _n_ions(classifier: RGCNClassifier) -> int | None:
    axis = classifier.encoder_.axis
    return None if axis is None else len(axis)


def _versions(
    classifier: RGCNClassifier,
    spectra: Spectra,
    y: NDArray[np.int64],
    seed: np.random.SeedSequence,
    n_weighing: int = 0,
) -> Versions:
    """The training pixels as measured, then their degraded copies, then those to weigh by."""
    encoder, settings = classifier.encoder_, classifier.settings_
    rng = np.random.default_rng(seed)
    # The measured come first: it refuses a tolerance that is too wide.
    encoded = [encoder.encode(spectra)]
    faults = [np.zeros(spectra.n_pixels, dtype=np.int64)]
    for _ in range(settings.augment):
        copy, fault = degraded_copy(spectra, rng)
        encoded.append(encoder.encode(copy))
        faults.append(fault)
    for _ in range(n_weighing):
        encoded.append(encoder.encode(weighing_copy(spectra, y, rng)))
    return Versions(PeakGraphs.concatenate(encoded), np.concatenate(faults), y)


def _new_part(
    classifier: RGCNClassifier, branch: str, seed: int, n_ions: int | None
) -> RGCN | Discriminants:
    """An untrained part of a branch, of the resolved settings and classes."""
    settings, n_classes = classifier.settings_, len(classifier.classes_)
    n_features = len(feature_names(settings.features))
    n_kinds = len(settings.relations) * (2 if settings.directed else 1)
    shape: dict[str, Any] = {
        "hidden": settings.hidden,
        "batch_norm": settings.batch_norm,
        "backend": classifier.backend,
    }
    with lent_generator(seed):
        if n_ions is None:
            return RGCN(n_features, n_kinds, n_classes, **shape)
        if branch in DISCRIMINANTS:
            return DISCRIMINANTS[branch](n_ions, n_classes)
        n_features += N_CONTEXT
        if branch == "peak":
            return PeakNet(n_features, n_ions, n_classes, **shape)
        return RelationalNet(n_features, n_ions, n_kinds, n_classes, **shape)
