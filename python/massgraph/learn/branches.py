"""The table of branches: what each is made of, how it is fitted, and its usual weight.

A model is a sum of branches. Registering one makes it known by its name and leaves the others and
the defaults as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from massgraph._util.errors import InputError
from massgraph._util.threads import lent_generator
from massgraph.encode.features import feature_names
from massgraph.encode.ions import N_CONTEXT
from massgraph.learn.discriminants import fit_discriminants
from massgraph.nn.discriminants import AxisBranch, FamilyBranch
from massgraph.nn.nets import MolecularNet, PeakNet, RelationalNet

__all__ = [
    "Branch",
    "PartShape",
    "branch",
    "branch_names",
    "branch_titles",
    "closed_form_branches",
    "default_branches",
    "forget_branch",
    "nets_among",
    "register_branch",
]


@dataclass(frozen=True)
class PartShape:
    """All that decides the shape of the parts of a model.

    Parameters
    ----------
    n_features
        Node features, without those that the axis adds.
    n_kinds
        Message types.
    n_outputs
        Numbers that a part gives for each pixel: one per class, for example.
    n_ions
        Ions of the axis; None for the network as published, which has none.
    hidden, batch_norm
        As for `RGCNClassifier`.
    backend
        What computes the convolutions.

    Examples
    --------
    >>> from massgraph.learn.branches import PartShape
    >>> from massgraph.learn.settings import resolve_settings
    >>> settings = resolve_settings("default", "positive", {"hidden": (4, 8)})
    >>> shape = PartShape.of(settings, n_outputs=3, n_ions=150, backend="auto")
    >>> shape.hidden, shape.n_kinds == 2 * len(settings.relations)
    ((4, 8), True)
    """

    n_features: int
    n_kinds: int
    n_outputs: int
    n_ions: int | None
    hidden: tuple[int, ...] = (8, 16)
    batch_norm: bool = True
    backend: str = "auto"

    @classmethod
    def of(cls, settings: Any, n_outputs: int, n_ions: int | None, backend: str) -> PartShape:
        """The shape that resolved settings give.

        Parameters
        ----------
        settings
            `massgraph.learn.settings.Settings`.
        """
        # `settings` are of any type, as their module imports this one for the names of branches.
        return cls(
            n_features=len(feature_names(settings.features)),
            # With directions a gain and a loss of the same mass are messages of two kinds.
            n_kinds=len(settings.relations) * (2 if settings.directed else 1),
            n_outputs=n_outputs,
            n_ions=n_ions,
            hidden=settings.hidden,
            batch_norm=settings.batch_norm,
            backend=backend,
        )

    @property
    def net(self) -> dict[str, Any]:
        """What networks take by name."""
        return {"hidden": self.hidden, "batch_norm": self.batch_norm, "backend": self.backend}


@dataclass(frozen=True)
class Branch:
    """One row of the table.

    Parameters
    ----------
    name
        The name to give to `branches=`.
    title
        What it looks at, in the words of the report.
    make
        Makes an untrained part: a torch module with ``take``, ``forward``, ``cam``, ``intercept``
        and ``embedding`` whose outputs are the mean of its ``cam`` over the nodes of a pixel plus
        its ``intercept``, exactly (see `massgraph.nn.branch_model.BranchModel`).
    usual_weight
        Weight in the sum, relative to the others, where labelled pixels are too few to tell.
    reads_relations
        Whether it looks at mass differences between peaks.
    fit
        Fits a part in closed form and in place: ``fit(part, versions, targets, pixels, rng)``. None
        for nets, which the training loop trains; a model keeps one net per fold.
    is_default
        Whether models have it by default.

    Examples
    --------
    >>> from massgraph.learn.branches import Branch, PartShape, branch
    >>> make, fit = branch("axis").make, branch("axis").fit
    >>> mine = Branch("mine", "my ions", make, usual_weight=1.0, reads_relations=False, fit=fit)
    >>> shape = PartShape(n_features=4, n_kinds=2, n_outputs=3, n_ions=5)
    >>> tuple(mine.new_part(shape, seed=0).weight.shape)
    (5, 9, 3)
    """

    name: str
    title: str
    make: Callable[[PartShape], Any]
    usual_weight: float
    reads_relations: bool
    fit: Callable[..., None] | None = None
    is_default: bool = False

    def new_part(self, shape: PartShape, seed: int) -> Any:
        """An untrained part whose first weights come from `seed`."""
        with lent_generator(seed):
            return self.make(shape)


def _relational(shape: PartShape) -> RelationalNet:
    n_features = shape.n_features + N_CONTEXT
    return RelationalNet(n_features, shape.n_ions or 0, shape.n_kinds, shape.n_outputs, **shape.net)


def _molecular(shape: PartShape) -> MolecularNet:
    n_features = shape.n_features + N_CONTEXT
    return MolecularNet(n_features, shape.n_ions or 0, shape.n_kinds, shape.n_outputs, **shape.net)


def _peak(shape: PartShape) -> PeakNet:
    n_features = shape.n_features + N_CONTEXT
    return PeakNet(n_features, shape.n_ions or 0, shape.n_outputs, **shape.net)


# The usual weights, of logits of one width, decide where few labelled pixels cannot. The networks
# have lower ones: with 10 pixels per class they are behind the discriminants (docs/evidence.md).
_BRANCHES: dict[str, Branch] = {
    one.name: one
    for one in (
        Branch(
            "axis",
            "axis",
            lambda shape: AxisBranch(shape.n_ions or 0, shape.n_outputs),
            usual_weight=0.2,
            reads_relations=False,
            fit=fit_discriminants,
            is_default=True,
        ),
        Branch(
            "family",
            "molecules",
            lambda shape: FamilyBranch(shape.n_ions or 0, shape.n_outputs),
            usual_weight=1.0,
            reads_relations=True,
            fit=fit_discriminants,
            is_default=True,
        ),
        Branch(
            "relational",
            "relations of ions",
            _relational,
            0.2,
            reads_relations=True,
            is_default=True,
        ),
        Branch(
            "molecular",
            "relations of molecules",
            _molecular,
            0.2,
            reads_relations=True,
            is_default=True,
        ),
        Branch("peak", "peaks", _peak, 0.05, reads_relations=False, is_default=True),
    )
}


def branch(name: str) -> Branch:
    """Look up a branch by its name.

    Raises
    ------
    InputError
        Where there is none; the message lists the known ones.

    Examples
    --------
    >>> from massgraph.learn.branches import branch
    >>> branch("family").reads_relations
    True
    """
    if name not in _BRANCHES:
        msg = f"branch {name!r} is none of {branch_names()}"
        raise InputError(msg)
    return _BRANCHES[name]


def branch_names() -> tuple[str, ...]:
    """Names of all known branches, in the order of the table.

    Examples
    --------
    >>> from massgraph.learn.branches import branch_names
    >>> branch_names()[:2]
    ('axis', 'family')
    """
    return tuple(_BRANCHES)


def branch_titles() -> dict[str, str]:
    """Titles of the branches in the report, by name.

    Examples
    --------
    >>> from massgraph.learn.branches import branch_titles
    >>> branch_titles()["family"]
    'molecules'
    """
    return {name: one.title for name, one in _BRANCHES.items()}


def default_branches() -> tuple[str, ...]:
    """Names of the branches that models have by default.

    Examples
    --------
    >>> from massgraph.learn.branches import default_branches
    >>> default_branches()
    ('axis', 'family', 'relational', 'molecular', 'peak')
    """
    return tuple(one.name for one in _BRANCHES.values() if one.is_default)


def closed_form_branches() -> tuple[str, ...]:
    """Names of the default branches that are fitted in closed form.

    Examples
    --------
    >>> from massgraph.learn.branches import closed_form_branches
    >>> closed_form_branches()
    ('axis', 'family')
    """
    nets = nets_among(default_branches())
    return tuple(name for name in default_branches() if name not in nets)


def nets_among(names: Sequence[str]) -> tuple[str, ...]:
    """Those of some branches that are nets: trained, on copies too, and one per fold.

    Examples
    --------
    >>> from massgraph.learn.branches import nets_among
    >>> nets_among(("axis", "peak"))
    ('peak',)
    """
    return tuple(name for name in names if branch(name).fit is None)


def register_branch(new: Branch) -> None:
    """Make a branch known by its name in this process; models that do not name it stay as they are.

    Parameters
    ----------
    new
        Not a default: saved models and published figures refer to those.

    Raises
    ------
    InputError
        Where the name is taken, or the branch calls itself a default.

    Examples
    --------
    >>> from massgraph.learn.branches import Branch, branch, branch_names
    >>> from massgraph.learn.branches import forget_branch, register_branch
    >>> axis = branch("axis")
    >>> register_branch(Branch("axis again", "axis, again", axis.make, 1.0, False, axis.fit))
    >>> branch_names()[-1]
    'axis again'
    >>> forget_branch("axis again")
    """
    if new.name in _BRANCHES:
        msg = f"there is a branch {new.name!r} already: choose another name"
        raise InputError(msg)
    if new.is_default:
        msg = f"branch {new.name!r} cannot be a default: name it in branches= where it is wanted"
        raise InputError(msg)
    _BRANCHES[new.name] = new


def forget_branch(name: str) -> None:
    """Undo `register_branch`.

    Raises
    ------
    InputError
        For a branch that is not known, or a default.

    Examples
    --------
    >>> from massgraph.learn.branches import forget_branch
    >>> forget_branch("axis")
    Traceback (most recent call last):
    ...
    massgraph._util.errors.InputError: branch 'axis' is a default and stays
    """
    if branch(name).is_default:
        msg = f"branch {name!r} is a default and stays"
        raise InputError(msg)
    del _BRANCHES[name]
