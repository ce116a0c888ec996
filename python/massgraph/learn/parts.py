"""Untrained models of the shape that settings give: to be trained, or filled with saved weights."""

from __future__ import annotations

from typing import Any

from massgraph._util.threads import lent_generator
from massgraph.learn.branches import PartShape, branch
from massgraph.nn.branch_model import BranchModel
from massgraph.nn.first_release import FirstAxis, FirstFamily, FirstModel
from massgraph.nn.rgcn import RGCN

__all__ = ["new_model", "new_part"]


def new_part(name: str, shape: PartShape, seed: int) -> Any:
    """Make an untrained part of a branch; without an axis, the network as published.

    Examples
    --------
    >>> from massgraph.learn.branches import PartShape
    >>> from massgraph.learn.parts import new_part
    >>> part = new_part("axis", PartShape(n_features=4, n_kinds=2, n_outputs=3, n_ions=5), seed=0)
    >>> tuple(part.bias.shape)
    (9, 3)
    """
    # The published network is no row of the table of branches: it reads peaks, all others ions.
    if shape.n_ions is None:
        with lent_generator(seed):
            return RGCN(shape.n_features, shape.n_kinds, shape.n_outputs, **shape.net)
    return branch(name).new_part(shape, seed)


FIRST_PARTS = {"axis": FirstAxis, "family": FirstFamily}
"""Parts in closed form of models that massgraph 0.1.0 saved."""


def new_model(
    names: tuple[str, ...], shape: PartShape, n_nets: int, *, first_release: bool = False
) -> RGCN | BranchModel:
    """Make an empty model, to be filled with saved weights.

    Parameters
    ----------
    names
        Of its branches.
    shape
        Of its parts.
    n_nets
        Nets per branch; a branch in closed form has one part.
    first_release
        Whether it is one of massgraph 0.1.0.

    Examples
    --------
    >>> from massgraph.learn.branches import PartShape
    >>> from massgraph.learn.parts import new_model
    >>> shape = PartShape(n_features=4, n_kinds=2, n_outputs=3, n_ions=5)
    >>> [len(new_model(("axis", "peak"), shape, 3).parts(name)) for name in ("axis", "peak")]
    [1, 3]
    """
    # Any seed will do, as saved weights take the place of all that is drawn.
    if shape.n_ions is None:
        published: RGCN = new_part("relational", shape, 0)
        return published
    if first_release:
        first: dict[str, list[Any]] = {
            name: [FIRST_PARTS[name](shape.n_ions, shape.n_outputs)]
            if name in FIRST_PARTS
            else [new_part(name, shape, 0) for _ in range(n_nets)]
            for name in names
        }
        return FirstModel(first, shape.n_ions)
    return BranchModel(
        {
            name: [new_part(name, shape, 0) for _ in range(1 if branch(name).fit else n_nets)]
            for name in names
        },
        shape.n_ions,
        shape.n_outputs,
    )
