"""Gaussian classes of which a pixel shows some features: what the others would say is left out."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["N_FACTORS", "Factors"]

BLOCK = 4096  # values at a time
N_FACTORS = 8  # what features have in common: more find noise


class Factors(nn.Module):
    r"""Classes with Gaussian features that share a covariance of few factors.

    With the class means :math:`\mu_c`, loadings U and the rest :math:`\psi`, the covariance is
    :math:`\Sigma = U U^T + \mathrm{diag}(\psi)`, in units of the standard deviations of the
    features. A pixel has some of them, O, and its logits are those of the linear discriminant of
    these alone: the others are integrated out, as if they were missing whatever they would have
    been (at random, Rubin 1976). With :math:`t_c = \mu_c - m` and x the features less m,

    .. math::
        \sum_{k \in O} \frac{1}{\psi_k} (t_{kc} - U_k^T s_c) (x_k - t_{kc} / 2), \quad
        s_c = (1 + \sum_O U_k U_k^T / \psi_k)^{-1} \sum_O U_k t_{kc} / \psi_k ,

    which is a sum over the features, exactly. The fewer there are, the less they say.

    Parameters
    ----------
    n_features, n_classes
        Numbers of features and classes.

    Examples
    --------
    Two independent features whose means are 1 apart; a pixel has but the first:

    >>> import torch
    >>> from massgraph.nn.factors import Factors
    >>> factors = Factors(2, 2)
    >>> factors.mean[:] = torch.tensor([[0.5, -0.5], [0.5, -0.5]], dtype=torch.float64)
    >>> x, one = torch.tensor([1.0], dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    >>> first, pixel = torch.tensor([0]), torch.tensor([0])
    >>> factors(x, one, first, pixel, 1)
    tensor([[ 0.3750, -0.6250]], dtype=torch.float64)
    """

    def __init__(self, n_features: int, n_classes: int) -> None:
        super().__init__()
        wide = torch.float64
        self.register_buffer("centre", torch.zeros(n_features, dtype=wide))
        self.register_buffer("scale", torch.ones(n_features, dtype=wide))
        self.register_buffer("loading", torch.zeros(n_features, N_FACTORS, dtype=wide))
        self.register_buffer("rest", torch.ones(n_features, dtype=wide))
        self.register_buffer("mean", torch.zeros(n_features, n_classes, dtype=wide))

    centre: torch.Tensor
    """m, in the units of the features."""
    scale: torch.Tensor
    """What features are multiplied by: one over their standard deviation."""
    loading: torch.Tensor
    rest: torch.Tensor
    mean: torch.Tensor
    """t, in standard deviations."""

    def forward(
        self,
        values: torch.Tensor,
        weight: torch.Tensor,
        feature: torch.Tensor,
        pixel: torch.Tensor,
        n_pixels: int,
    ) -> torch.Tensor:
        """What each feature of each pixel adds to the logits, ``(n_values, n_classes)``.

        Parameters
        ----------
        values, weight, feature, pixel
            One for each feature that a pixel has: its value times its weight, how far it is there
            (0 to 1), its number, and that of the pixel.
        n_pixels
            Number of pixels.
        """
        n_factors, n_classes = self.loading.shape[1], self.mean.shape[1]
        seen = weight / self.rest[feature]
        square, right = self._products(seen, feature, pixel, n_pixels)
        square.diagonal(dim1=1, dim2=2).add_(1.0)
        solved = torch.linalg.solve(square, right)
        # U s of each value, factor by factor: all at once would fill the memory.
        common = seen.new_zeros(len(seen), n_classes)
        for factor in range(n_factors):
            common += self.loading[feature, factor, None] * solved[pixel, factor]
        x = (values - weight * self.centre[feature]) * self.scale[feature]
        mean = self.mean[feature]
        return (
            (mean - common) / self.rest[feature, None] * (x[:, None] - 0.5 * weight[:, None] * mean)
        )

    def _products(
        self, seen: torch.Tensor, feature: torch.Tensor, pixel: torch.Tensor, n_pixels: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Sums of products of loadings with each other and with the means, for each pixel."""
        n_factors, n_classes = self.loading.shape[1], self.mean.shape[1]
        row, column = torch.triu_indices(n_factors, n_factors, device=seen.device)
        with_means = (self.loading[:, :, None] * self.mean[:, None, :]).flatten(start_dim=1)
        table = torch.cat([self.loading[:, row] * self.loading[:, column], with_means], dim=1)
        total = seen.new_zeros(n_pixels, table.shape[1])
        # Some at a time, which stay in the cache; the order of the additions is the same.
        for start in range(0, len(seen), BLOCK):
            part = slice(start, start + BLOCK)
            total.index_add_(0, pixel[part], seen[part, None] * table[feature[part]])
        square = seen.new_zeros(n_pixels, n_factors, n_factors)
        square[:, row, column] = square[:, column, row] = total[:, : len(row)]
        return square, total[:, len(row) :].reshape(n_pixels, n_factors, n_classes)
