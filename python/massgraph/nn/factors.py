"""Gaussian classes of which a pixel shows some features: what the others would say is left out."""

from __future__ import annotations

import torch
from torch import nn

from massgraph.nn.sums import bags

__all__ = ["N_FACTORS", "Factors"]

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
            (0 to 1), its number, and that of the pixel, ascending.
        n_pixels
            Number of pixels.
        """
        square, right, _ = self._sums(weight, feature, pixel, n_pixels)
        solved = torch.linalg.solve(square, right)
        # U s of each value, factor by factor: all at once would fill the memory.
        common = values.new_zeros(len(values), self.mean.shape[1])
        for factor in range(self.loading.shape[1]):
            common += self.loading[feature, factor, None] * solved[pixel, factor]
        x = (values - weight * self.centre[feature]) * self.scale[feature]
        mean = self.mean[feature]
        return (
            (mean - common) / self.rest[feature, None] * (x[:, None] - 0.5 * weight[:, None] * mean)
        )

    def logits(
        self,
        values: torch.Tensor,
        weight: torch.Tensor,
        feature: torch.Tensor,
        pixel: torch.Tensor,
        n_pixels: int,
    ) -> torch.Tensor:
        """Sums of what the features of each pixel add, ``(n_pixels, n_classes)``.

        Parameters as for `forward`. Without what each feature adds by itself they are sums of
        products of values and weights with numbers of the features.
        """
        n_factors = self.loading.shape[1]
        square, right, of_centres = self._sums(weight, feature, pixel, n_pixels)
        both = torch.cat([self.loading, self.mean], dim=1)
        over = both * (self.scale / self.rest)[:, None]
        x = bags(values, over, feature, pixel, n_pixels) - of_centres
        squares = bags(weight, self.mean**2 / self.rest[:, None], feature, pixel, n_pixels)
        solved = torch.linalg.solve(square, right)
        common = (solved * (x[:, :n_factors, None] - 0.5 * right)).sum(dim=1)
        found: torch.Tensor = x[:, n_factors:] - 0.5 * squares - common
        return found

    def _sums(
        self, weight: torch.Tensor, feature: torch.Tensor, pixel: torch.Tensor, n_pixels: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Sums over the features of each pixel: the equations for s, and what m takes off x.

        Matrices and right sides of the equations, and products of m with loadings and means.
        """
        n_factors = self.loading.shape[1]
        over = torch.cat([self.loading, (self.centre * self.scale)[:, None]], dim=1)
        over = over / self.rest[:, None]
        both = torch.cat([self.loading, self.mean], dim=1)
        table = (over[:, :, None] * both[:, None, :]).flatten(start_dim=1)
        sums = bags(weight, table, feature, pixel, n_pixels)
        sums = sums.reshape(n_pixels, over.shape[1], both.shape[1])
        one = torch.eye(n_factors, dtype=sums.dtype, device=sums.device)
        square, right = sums[:, :n_factors, :n_factors] + one, sums[:, :n_factors, n_factors:]
        return square, right, sums[:, n_factors]
