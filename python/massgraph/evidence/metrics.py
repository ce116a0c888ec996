"""Scores of predicted probabilities, and paired tests between models."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from massgraph._util.scores import balanced_accuracy

__all__ = ["LOW_IS_GOOD", "calibration_error", "paired_test", "prediction_scores"]

LOW_IS_GOOD = ("log_loss", "calibration_error")
"""Scores of which less is better."""

BINS = 10
# A true class that was given no chance at all costs 28 nats, and not infinity.
SMALLEST = 1e-12


def prediction_scores(
    truth: NDArray[np.int64], probability: NDArray[np.float64]
) -> dict[str, float]:
    """Score probabilities against the true classes.

    Parameters
    ----------
    truth
        Class codes, shape ``(n,)``.
    probability
        Shape ``(n, n_classes)``, rows summing to one.

    Returns
    -------
    dict
        `balanced_accuracy` (mean recall over the classes present), `macro_f1`, `auc` (area under
        the ROC curve, the mean of each class against the rest), `log_loss`, `calibration_error`
        (see `calibration_error`) and `uncertainty` (mean entropy over its largest value).

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.evidence.metrics import prediction_scores
    >>> truth = np.array([0, 0, 1])
    >>> probability = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]])
    >>> scores = prediction_scores(truth, probability)
    >>> round(scores["balanced_accuracy"], 2), round(scores["auc"], 2)
    (0.75, 1.0)
    """
    predicted = probability.argmax(axis=1)
    n_classes = probability.shape[1]
    present = np.unique(truth)
    f1, area = [], []
    for code in present:
        own, said = truth == code, predicted == code
        hits = int((own & said).sum())
        f1.append(2 * hits / max(own.sum() + said.sum(), 1))
        # With one class there is no other to rank it against. Ties count half: ranks are means.
        if present.size > 1:
            rank = stats.rankdata(probability[:, code])
            n_own = int(own.sum())
            above = rank[own].sum() - n_own * (n_own + 1) / 2
            area.append(above / (n_own * (truth.size - n_own)))
    clipped = np.maximum(probability, SMALLEST)
    entropy = -(probability * np.log(clipped)).sum(axis=1) / np.log(n_classes)
    return {
        "balanced_accuracy": balanced_accuracy(truth, predicted),
        "macro_f1": float(np.mean(f1)),
        "auc": float(np.mean(area)) if area else float("nan"),
        "log_loss": float(-np.log(clipped[np.arange(truth.size), truth]).mean()),
        "calibration_error": calibration_error(truth, probability),
        "uncertainty": float(entropy.mean()),
    }


def calibration_error(truth: NDArray[np.int64], probability: NDArray[np.float64]) -> float:
    """Expected calibration error: how far confidence is from accuracy, on average.

    The highest probability of each row falls into ten equal bins; the difference of mean confidence
    and share of right predictions is averaged over the bins, weighted by their size (Guo et al.,
    ICML 2017).

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.evidence.metrics import calibration_error
    >>> right, sure = np.array([0, 1]), np.array([[0.9, 0.1], [0.2, 0.8]])
    >>> round(calibration_error(right, sure), 2)
    0.15
    """
    confidence = probability.max(axis=1)
    right = probability.argmax(axis=1) == truth
    # A confidence of exactly 1 belongs to the last bin.
    bins = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    gap = np.bincount(bins, weights=confidence - right, minlength=BINS)
    return float(np.abs(gap).sum() / max(truth.size, 1))


def paired_test(difference: NDArray[np.float64], ratio: float = 0.0) -> dict[str, float]:
    """Mean of paired differences, its 95 % interval and p-value by a t-test.

    Parameters
    ----------
    difference
        One per seed.
    ratio
        Test pixels over training pixels where the splits overlap: the variance is enlarged by it as
        Nadeau and Bengio (2003) do; 0 for independent data.

    Returns
    -------
    dict
        `difference`, `low`, `high`, `p`; the last three NaN for fewer than two differences.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.evidence.metrics import paired_test
    >>> test = paired_test(np.array([0.02, 0.03, 0.01]), ratio=0.25)
    >>> {name: round(float(value), 3) for name, value in test.items()}
    {'difference': 0.02, 'low': -0.013, 'high': 0.053, 'p': 0.12}
    """
    n = difference.size
    mean = float(difference.mean())
    if n < 2:
        return {"difference": mean, "low": np.nan, "high": np.nan, "p": np.nan}
    error = float(difference.std(ddof=1)) * np.sqrt(1 / n + ratio)
    # Differences that are all the same leave no error to divide by.
    if error == 0:
        return {"difference": mean, "low": mean, "high": mean, "p": 1.0 if mean == 0 else 0.0}
    half = float(stats.t.ppf(0.975, n - 1)) * error
    p = float(2 * stats.t.sf(abs(mean) / error, n - 1))
    return {"difference": mean, "low": mean - half, "high": mean + half, "p": p}
