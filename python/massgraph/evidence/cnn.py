"""The published 1D convolutional network on binned spectra, for comparison."""

from __future__ import annotations

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.functional import cross_entropy

from massgraph._util.threads import lent_generator, one_thread
from massgraph.data.spectra import Spectra

__all__ = ["bin_spectra", "cnn_probability", "train_cnn"]

BIN_DA = 0.1
# In batches of 254, as published, some hundred pixels would make but one step an epoch.
BATCH, LEARNING_RATE, PATIENCE, HELD_OUT = 32, 1e-3, 20, 0.15


def bin_spectra(spectra: Spectra, mz_range: tuple[float, float]) -> NDArray[np.float32]:
    """Log of one plus the summed intensity in bins of 0.1 Da, scaled to [0, 1] per pixel.

    Peaks outside the range are left out. Shape ``(n_pixels, n_bins)``.

    Examples
    --------
    >>> import massgraph as mg
    >>> from massgraph.evidence.cnn import bin_spectra
    >>> spectra = mg.Spectra.from_peaks([([255.23, 281.25], [9.0, 4.0])])
    >>> bins = bin_spectra(spectra, (255.0, 256.0))
    >>> bins.shape, int(bins.argmax())
    ((1, 11), 2)
    """
    n_bins = round((mz_range[1] - mz_range[0]) / BIN_DA) + 1
    place = np.floor((spectra.mz - mz_range[0]) / BIN_DA).astype(np.int64)
    inside = (place >= 0) & (place < n_bins)
    flat = (spectra.pixel_of_peak * n_bins + place)[inside]
    total = np.bincount(flat, spectra.intensity[inside], minlength=spectra.n_pixels * n_bins)
    bins = np.log1p(total).reshape(-1, n_bins)
    scaled = bins / np.maximum(bins.max(axis=1, keepdims=True), 1e-12)
    return np.asarray(scaled, dtype=np.float32)


def _net(n_bins: int, n_classes: int) -> nn.Sequential:
    # What two convolutions without padding and two poolings leave of the bins.
    after = ((n_bins - 20) // 2 - 4) // 2
    return nn.Sequential(
        nn.Conv1d(1, 6, 21),
        nn.ReLU(),
        nn.BatchNorm1d(6),
        nn.MaxPool1d(2),
        nn.Conv1d(6, 16, 5),
        nn.ReLU(),
        nn.BatchNorm1d(16),
        nn.MaxPool1d(2),
        nn.Flatten(),
        nn.Linear(16 * after, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, n_classes),
    )


@one_thread()
def train_cnn(
    bins: NDArray[np.float32], y: NDArray[np.int64], *, epochs: int, seed: int
) -> nn.Sequential:
    """Train with Adam at 1e-3, as published; the epoch of lowest loss on held-out rows is kept.

    Where the published network has sigmoids and binary cross-entropy, the classes share a softmax.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.evidence.cnn import train_cnn
    >>> bins = np.random.default_rng(0).random((20, 60), dtype=np.float32)
    >>> net = train_cnn(bins, np.arange(20) % 2, epochs=1, seed=0)
    >>> net[-1].out_features
    2
    """
    rng = np.random.default_rng(seed)
    with lent_generator(seed):
        net = _net(bins.shape[1], int(y.max()) + 1)
    order = rng.permutation(len(y))
    n_held_out = max(int(HELD_OUT * len(y)), 1)
    held_out, training = order[:n_held_out], order[n_held_out:]
    optimizer = torch.optim.Adam(net.parameters(), lr=LEARNING_RATE)
    # Copies: the optimizer goes on changing the tensors that a state dictionary refers to.
    best, best_loss, waited = copy.deepcopy(net.state_dict()), np.inf, 0
    for _ in range(epochs):
        net.train()
        shuffled = rng.permutation(training)
        # Parts of nearly one size: a small rest would move the weights as much as a whole batch.
        for rows in np.array_split(shuffled, max(len(shuffled) // BATCH, 1)):
            loss = cross_entropy(_forward(net, bins[rows]), torch.from_numpy(y[rows]))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        net.eval()
        with torch.inference_mode():
            measured = cross_entropy(
                _forward(net, bins[held_out]), torch.from_numpy(y[held_out])
            ).item()
        waited += 1
        if measured < best_loss:
            best, best_loss, waited = copy.deepcopy(net.state_dict()), measured, 0
        if waited >= PATIENCE:
            break
    net.load_state_dict(best)
    net.eval()
    return net


@one_thread()
def cnn_probability(net: nn.Sequential, bins: NDArray[np.float32]) -> NDArray[np.float64]:
    """Class probabilities, shape ``(n_pixels, n_classes)``.

    Examples
    --------
    >>> import numpy as np
    >>> from massgraph.evidence.cnn import cnn_probability, train_cnn
    >>> bins = np.random.default_rng(0).random((20, 60), dtype=np.float32)
    >>> net = train_cnn(bins, np.arange(20) % 2, epochs=1, seed=0)
    >>> cnn_probability(net, bins).shape
    (20, 2)
    """
    # Of each bin the first layer makes six numbers: all pixels at once would need much memory.
    with torch.inference_mode():
        parts = [
            torch.softmax(_forward(net, bins[start : start + 256]), dim=1)
            for start in range(0, len(bins), 256)
        ]
    return torch.cat(parts).double().numpy()


def _forward(net: nn.Sequential, bins: NDArray[np.float32]) -> torch.Tensor:
    logits: torch.Tensor = net(torch.from_numpy(bins)[:, None, :])
    return logits
