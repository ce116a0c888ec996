"""Linear discriminants in closed form, on few pixels of many ions."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from massgraph.data.sources import batches
from massgraph.graph.addresses import addresses
from massgraph.graph.batch import PeakBatch, PeakGraphs
from massgraph.graph.messages import rows_of
from massgraph.learn.targets import Targets
from massgraph.learn.versions import Versions
from massgraph.nn.discriminants import N_FAULTS, N_STRENGTHS, Discriminants

__all__ = ["fit_discriminants", "shrunken_discriminant", "shrunken_means"]

Floats = NDArray[np.float64]
Discriminant = tuple[Floats, Floats]  # weights (n_features, n_classes) and biases (n_classes,)

MOST_ROWS = 6000  # pixels that a discriminant is learnt from: bounds its memory
NEVER = -1e3  # log weight of a discriminant that had nothing to learn from
MEASURED_PART = 0.6  # share of the discriminants of measured spectra in those for lost peaks
THRESHOLDS = np.linspace(0.0, 4.0, 41)  # of differences, in standard errors
SMALLEST_SHRINKAGE = 1e-3
SMALLEST_VARIANCE = 1e-12
LEAST_SPREAD = 0.2  # of the median standard deviation: no ion varies less


def shrunken_discriminant(
    X: sp.csr_matrix, y: NDArray[np.int64], n_classes: int, weight: Floats | None = None
) -> tuple[Floats, Floats]:
    """Fisher's discriminant with the shrunken covariance of Ledoit and Wolf (2004).

    Columns are first scaled by their standard deviation within the classes, so that the covariance
    shrinks towards its diagonal. No deviation counts as less than a fifth of their median: that of
    an ion in few training pixels means nothing, and dividing by it would explode in other pixels
    (as the s0 of Tibshirani et al. 2002 prevents). The differences between class means are shrunk
    too (`shrunken_means`). All classes count as equally likely.

    Parameters
    ----------
    X
        Features, shape ``(n_pixels, n_features)``.
    y
        Class codes; a class without pixels gets a weight of zero.
    n_classes
        Number of classes.
    weight
        How many pixels each one counts as, shape ``(n_pixels,)`` (one each).

    Returns
    -------
    weight, bias
        Shapes ``(n_features, n_classes)`` and ``(n_classes,)``: logits are ``X @ weight + bias``.

    Examples
    --------
    >>> import numpy as np
    >>> import scipy.sparse as sp
    >>> from massgraph.learn.discriminants import shrunken_discriminant
    >>> X, y = np.array([[3.0, 1.0], [4.0, 1.2], [1.0, 1.1], [0.5, 0.9]]), np.array([0, 0, 1, 1])
    >>> weight, bias = shrunken_discriminant(sp.csr_matrix(X), y, n_classes=2)
    >>> (X @ weight + bias).argmax(axis=1).tolist()
    [0, 0, 1, 1]
    """
    times = np.ones(y.size) if weight is None else weight * (y.size / weight.sum())
    root = np.sqrt(times)
    pick = sp.csr_matrix((times, (y, np.arange(y.size))), shape=(n_classes, y.size))
    counts: Floats = np.bincount(y, weights=times, minlength=n_classes).astype(np.float64)
    means = np.asarray((pick @ X).todense()) / np.where(counts > 0, counts, 1.0)[:, None]
    rooted = X.copy()
    rooted.data *= np.repeat(root, np.diff(X.indptr))
    square = np.asarray(rooted.multiply(rooted).mean(axis=0)).ravel()
    variance = square - (counts / y.size) @ means**2
    constant = variance <= SMALLEST_VARIANCE * np.maximum(square, SMALLEST_VARIANCE)
    deviation = np.sqrt(np.where(constant, 1.0, variance))
    least = LEAST_SPREAD * np.median(deviation[~constant]) if not constant.all() else 0.0
    scale = np.where(constant, 0.0, 1.0 / np.maximum(deviation, least))
    centred = (np.asarray(X.todense()) - means[y]) * scale
    centred *= root[:, None]
    target = ((means - means[counts > 0].mean(axis=0)) * scale).T
    target[:, counts == 0] = 0.0
    # A mean of unequal weights is as exact as that of fewer pixels (Kish 1965); of equal ones of n.
    squares = np.bincount(y, weights=times**2, minlength=n_classes)
    as_many = counts[counts > 0] ** 2 / squares[counts > 0]
    target[:, counts > 0] = shrunken_means(target[:, counts > 0], as_many)
    solved = _solve(centred, target)
    slope = solved * scale[:, None]
    bias = -0.5 * np.einsum("kc,kc->c", target, solved)
    # The target was centred: move the bias to where the features are.
    return slope, np.where(counts > 0, bias - means[counts > 0].mean(axis=0) @ slope, -1e3)


def shrunken_means(differences: Floats, counts: Floats) -> Floats:
    r"""Shrink differences of class means, so that those within chance vanish.

    Soft thresholding of :math:`t = d / s`, as in the nearest shrunken centroids of Tibshirani et
    al. (2002), at the threshold :math:`\Delta` with the least unbiased estimate of the risk (Stein;
    Donoho and Johnstone 1995), :math:`\sum_t \min(t^2, \Delta^2) - 2 [|t| \le \Delta]`. Where many
    ions tell the classes apart, next to nothing is taken off; where few do, most others vanish.
    With K classes of :math:`n_c` pixels
    :math:`s_c^2 = (1 - 2/K) / n_c + \sum_k 1 / (K^2 n_k)`.

    Parameters
    ----------
    differences
        Mean of each class less the mean of the classes, of features with a standard deviation of 1
        within the classes, shape ``(n_features, n_classes)``.
    counts
        Pixels of each class, all above zero.

    Examples
    --------
    Of two ions and two classes of 20 pixels, one ion differs by no more than chance:

    >>> import numpy as np
    >>> from massgraph.learn.discriminants import shrunken_means
    >>> differences = np.array([[1.0, -1.0], [0.05, -0.05]])
    >>> shrunken_means(differences, np.array([20.0, 20.0])).any(axis=1).tolist()
    [True, False]
    """
    n_classes = len(counts)
    squared = (1 - 2 / n_classes) / counts + (1 / counts).sum() / n_classes**2
    error = np.sqrt(np.maximum(squared, SMALLEST_VARIANCE))
    t = np.abs(differences / error)
    risks = [
        (np.minimum(t, threshold) ** 2).sum() - 2 * np.count_nonzero(t <= threshold)
        for threshold in THRESHOLDS
    ]
    least = THRESHOLDS[int(np.argmin(risks))]
    shrunken = np.maximum(np.abs(differences) - least * error, 0.0)
    return np.asarray(np.sign(differences) * shrunken)


def _solve(centred: Floats, target: Floats) -> Floats:
    """Inverse of the shrunken covariance of `centred` times `target`, by the smaller side."""
    n, p = centred.shape
    dual = n < p
    gram = centred @ centred.T if dual else centred.T @ centred
    mean_variance = np.trace(gram) / (n * p)
    if mean_variance <= 0:
        return np.zeros_like(target)
    squared = float((gram**2).sum()) / n**2  # squared norm of the covariance
    fourth = float(((centred**2).sum(axis=1) ** 2).sum())
    delta = squared / p - mean_variance**2
    beta = (fourth / n - squared) / (n * p)
    shrinkage = 1.0 if delta <= 0 else min(max(beta / delta, SMALLEST_SHRINKAGE), 1.0)
    ridge = shrinkage * mean_variance
    rest = (1 - shrinkage) / n
    if not dual:
        gram = rest * gram
        gram[np.diag_indices(p)] += ridge
        return np.asarray(np.linalg.solve(gram, target))
    # Woodbury: the covariance is a ridge plus a product of low rank
    inner = rest * gram
    inner[np.diag_indices(n)] += ridge
    return np.asarray(
        (target - rest * centred.T @ np.linalg.solve(inner, centred @ target)) / ridge
    )


def fit_discriminants(
    branch: Discriminants,
    versions: Versions,
    targets: Targets,
    pixels: NDArray[np.int64],
    rng: np.random.Generator,
) -> None:
    """Fit the discriminants and their gate to some of the pixels, in place and closed form.

    Examples
    --------
    >>> import numpy as np
    >>> import massgraph as mg
    >>> from massgraph.learn.discriminants import fit_discriminants
    >>> from massgraph.learn.targets import Labels
    >>> from massgraph.learn.versions import encode_versions
    >>> spectra, labels = mg.simulate("tiny", n_runs=1)
    >>> clf = mg.RGCNClassifier(branches=("axis",), folds=2, augment=0).fit(spectra, labels)
    >>> _, rows, targets = Labels(labels).encode(spectra.n_pixels).targets(spectra.peak_counts > 0)
    >>> seed, rng = np.random.SeedSequence(0), np.random.default_rng(0)
    >>> versions = encode_versions(clf.encoder_, spectra[rows], targets.codes, seed, n_copies=0)
    >>> (part,) = clf.model_.parts("axis")
    >>> before = part.weight.clone()
    >>> fit_discriminants(part, versions, targets, np.arange(len(rows)), rng)
    >>> bool((part.weight == before).all())
    True
    """
    measured = versions.graphs.batch(pixels, edges="none")
    _set_expectations(branch, measured)
    entries = targets.of(pixels)
    rows = versions.of(targets.pixel[entries])
    fault, n_copies = versions.fault[rows], len(rows) // len(entries)
    y, times = np.tile(targets.code[entries], n_copies), np.tile(targets.weight[entries], n_copies)
    fault[len(entries) :][fault[len(entries) :] == 0] = -1  # copies with no peaks lost add nothing
    features, complete = _features(branch, versions.graphs, rows)
    _fit_gate(branch, complete, fault)
    n_ions, n_classes = len(branch.usual), branch.bias.shape[1]
    single: list[Discriminant] = []
    for code in range(N_FAULTS):
        chosen = np.flatnonzero(fault == code)
        if chosen.size == 0:
            continue
        if chosen.size > MOST_ROWS:
            chosen = rng.choice(chosen, MOST_ROWS, replace=False)
        X, truth, counted = features[chosen], y[chosen], times[chosen]
        if code == 0:
            single = [
                _on_columns(X, truth, n_classes, counted, slice(start, start + n_ions))
                for start in range(0, X.shape[1], n_ions)
            ]
            weight, bias = _mean(single, branch.MEASURED)
        else:
            lost = shrunken_discriminant(X, truth, n_classes, counted)
            weight, bias = _mean(
                [_mean(single, branch.LOST), lost], (MEASURED_PART, 1 - MEASURED_PART)
            )
        columns = slice(code * n_classes, (code + 1) * n_classes)
        branch.weight[:, :, columns] = torch.from_numpy(weight.reshape(-1, n_ions, n_classes))
        branch.bias[code] = torch.from_numpy(bias)


def _on_columns(
    X: sp.csr_matrix, y: NDArray[np.int64], n_classes: int, times: Floats, columns: slice
) -> Discriminant:
    """A discriminant on some of the columns, with weights of zero for the others."""
    weight = np.zeros((X.shape[1], n_classes))
    weight[columns], bias = shrunken_discriminant(X[:, columns], y, n_classes, times)
    return weight, bias


def _mean(found: list[Discriminant], parts: tuple[float, ...]) -> Discriminant:
    """Weighted mean of discriminants."""
    weights, biases = zip(*found, strict=True)
    return np.tensordot(parts, weights, axes=1), np.tensordot(parts, biases, axes=1)


def _set_expectations(branch: Discriminants, measured: PeakBatch) -> None:
    """Set what is usual in measured spectra: values, and the number of peaks of each strength."""
    where = addresses(measured)
    ion, weight = where.ion.numpy(), where.weight.double().numpy()
    n_ions = len(branch.usual)
    presence = np.bincount(ion, weights=weight, minlength=n_ions)

    def mean(values: torch.Tensor) -> Floats:
        total = np.bincount(ion, weights=weight * values.double().numpy(), minlength=n_ions)
        return np.asarray(total / np.maximum(presence, 1e-12))

    amount = mean(where.amount)
    edges = np.quantile(amount, np.linspace(0, 1, N_STRENGTHS + 1)[1:-1])
    group = np.searchsorted(edges, amount, side="right")
    total = np.bincount(group, weights=presence, minlength=N_STRENGTHS) / measured.n_pixels
    expected = np.zeros((n_ions, N_STRENGTHS))
    expected[np.arange(n_ions), group] = 1.0 / np.maximum(total[group], 1e-9)
    branch.usual.copy_(torch.from_numpy(mean(getattr(where, branch.DEVIATING))))
    branch.expected.copy_(torch.from_numpy(expected))


def _features(
    branch: Discriminants, graphs: PeakGraphs, rows: NDArray[np.int64]
) -> tuple[sp.csr_matrix, Floats]:
    """Features of the ions side by side, ``(n_rows, n_features * n_ions)``, and completeness."""
    n_ions = len(branch.usual)
    features, completeness = [], []
    _, offsets = rows_of(graphs.offsets, rows)
    for block in batches(offsets):
        batch = graphs.batch(rows[block], edges="none")
        place = (batch.pixel.numpy(), addresses(batch).ion.numpy())
        columns = [
            sp.csr_matrix((values, place), shape=(batch.n_pixels, n_ions))
            for values in branch.features(batch).numpy().T
        ]
        features.append(sp.hstack(columns, format="csr"))
        completeness.append(branch.completeness(batch).numpy())
    return sp.vstack(features, format="csr"), np.concatenate(completeness)


def _fit_gate(branch: Discriminants, complete: Floats, fault: NDArray[np.int64]) -> None:
    """Multinomial regression of the fault on the completeness."""
    from sklearn.linear_model import LogisticRegression

    branch.gate_weight.zero_()
    branch.gate_bias.fill_(NEVER)
    branch.gate_bias[0] = 0.0
    known = fault >= 0
    codes = np.unique(fault[known])
    if codes.size < 2:
        return
    gate = LogisticRegression(C=10.0, max_iter=500, class_weight="balanced")
    gate.fit(complete[known], fault[known])
    weight, bias = gate.coef_, gate.intercept_
    if codes.size == 2:  # scikit-learn gives the second against the first
        weight, bias = np.concatenate([0 * weight, weight]), np.append(0.0, bias)
    branch.gate_weight[:, codes] = torch.from_numpy(weight.T)
    branch.gate_bias[codes] = torch.from_numpy(np.asarray(bias, dtype=np.float64))
