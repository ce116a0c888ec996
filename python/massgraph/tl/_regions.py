"""Regions without labels, of an AnnData object and into it."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from massgraph._util.errors import InputError, InputTypeError
from massgraph.io._anndata_mz import axis_of
from massgraph.io.anndata import from_anndata
from massgraph.io.h5ad import findings_per_pixel, findings_tables
from massgraph.learn.regions import RegionModel
from massgraph.pl._nested import region_palette
from massgraph.regions import SpatialRegions
from massgraph.segmentation import Segmentation

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["regions"]


def regions(
    adata: AnnData,
    n_regions: int | str = "auto",
    *,
    key_added: str = "region",
    layer: str | None = None,
    mz: str = "mz",
    batch_key: str | None = None,
    coordinates: str | None = "auto",
    polarity: str | None = None,
    neighbours_key: str | None = None,
    explain: bool = True,
    return_model: bool = False,
    **settings: Any,
) -> SpatialRegions | None:
    """Find the regions of the pixels of an AnnData object without labels, and write them into it.

    Parameters
    ----------
    adata
        Pixels x ions, in any of the layouts that `massgraph.from_anndata` reads. It is changed.
    n_regions
        The number of regions, or ``"auto"``.
    key_added
        What the names of all that is added begin with. What has such a name already is replaced.
    layer, mz, coordinates, polarity
        As for `massgraph.from_anndata`.
    batch_key
        Column of `obs` with the run of each pixel, `run` of `massgraph.from_anndata`. Regions are
        those of all runs together.
    neighbours_key
        Matrix of `obsp` with how much each pixel counts for each other one, such as
        ``"spatial_connectivities"`` of squidpy. Default: the pixels within `radius`, all alike.
    explain
        Whether to test which molecules define the regions, and how sure these are, which takes
        about twice as long as finding them.
    return_model
        Whether to return the fitted estimator, to find the regions in other objects or to save it.
    settings
        Further parameters of `massgraph.SpatialRegions`: `max_regions`, `features`, `spatial`,
        `radius`, `covariance`, `run_offsets`, `relations`, `init`, `random_state`.

    Returns
    -------
    SpatialRegions or None
        None but where `return_model`. Into the object are written, with ``"region"`` as
        `key_added`:

        ``obs["region"]``
            The region, categorical, missing for pixels without peaks; ``uns["region_colors"]`` has
            the colours of the categories, which scanpy draws it in.
        ``obs["region_uncertainty"]``
            From 0 to 1, 1 without peaks (`massgraph.segmentation.uncertainty_of`).
        ``obs["region_coverage"]``
            Share of the ion current at ions of the model, NaN without peaks.
        ``obsm["X_region"]``
            Components of the minimum noise fraction, NaN for pixels without peaks.
        ``obsm["region_probability"]``
            One column per region, NaN for pixels without peaks.
        ``var["region_molecule"]``
            Number of the molecule that the ion belongs to, missing where the fit knows no such
            ion: the pixels hold it too seldom.
        ``uns["region"]``
            `params`; `separation` of each region; `selection`, the curve by which the number was
            chosen; with `explain` the tables `regions`, `molecules`, `families`, `balances`, and
            `cautions`, as `massgraph.io.h5ad.to_anndata` has them under ``"findings"``.
        ``obsm["region_maps"]``, ``obsm["region_molecules"]``, ``obsm["region_balances"]``
            With `explain`: nested maps, images of molecules, and balances of adducts, which columns
            ``uns["region"]`` names under `maps`, `shown` and `balances`.

    Raises
    ------
    InputError
        As `massgraph.from_anndata` and `SpatialRegions.fit` do; then nothing is written.

    Examples
    --------
    >>> import anndata
    >>> import numpy as np
    >>> import pandas as pd
    >>> import massgraph as mg
    >>> spectra = mg.simulate("tiny", n_runs=1).spectra
    >>> matrix, axis = spectra.to_matrix()
    >>> adata = anndata.AnnData(
    ...     X=matrix,
    ...     var=pd.DataFrame({"mz": axis}, index=axis.astype(str)),
    ...     obsm={"spatial": spectra.coordinates},
    ... )
    >>> mg.tl.regions(adata, n_regions=3, polarity="positive")
    >>> adata.obs["region"].cat.categories.tolist()
    ['region 1', 'region 2', 'off-tissue']
    >>> adata.obsm["X_region"].shape[0] == adata.n_obs
    True
    """
    if not isinstance(key_added, str) or not key_added:
        msg = f"key_added is {key_added!r}, need a text that names begin with"
        raise InputTypeError(msg)
    estimator = SpatialRegions(n_regions, **settings)
    spectra = from_anndata(
        adata,
        layer=layer,
        mz=mz,
        run="auto" if batch_key is None else batch_key,
        coordinates=coordinates,
        polarity=polarity,
    )
    neighbours = None
    if neighbours_key is not None:
        if neighbours_key not in adata.obsp:
            msg = f"obsp has no {neighbours_key!r}: there are {sorted(adata.obsp)}"
            raise InputError(msg)
        neighbours = adata.obsp[neighbours_key]
    estimator.fit(spectra, neighbours=neighbours)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # all was said when the spectra were read
        axis, _ = axis_of(adata, mz)
    molecule = _molecules(estimator.region_model_, axis)
    # The pixels of the fit: what is not covered is said, and never refused.
    segmentation = estimator.segment(
        spectra, explain=explain, neighbours=neighbours, min_coverage=0
    )
    components = estimator.transform(spectra, neighbours=neighbours)
    # All is known before the first of it is written: an object is never changed by halves.
    _write_obs(adata, segmentation, key_added)
    adata.obsm[f"X_{key_added}"] = components
    adata.obsm[f"{key_added}_probability"] = segmentation.probability
    adata.var[f"{key_added}_molecule"] = molecule
    adata.uns[key_added] = _description(estimator)
    if segmentation.findings is not None:
        adata.uns[key_added] |= findings_tables(segmentation.findings)
        for name, values in findings_per_pixel(segmentation.findings).items():
            adata.obsm[f"{key_added}_{name}"] = values
    return estimator if return_model else None


def _write_obs(adata: AnnData, segmentation: Segmentation, key: str) -> None:
    adata.obs[key] = segmentation.label
    adata.obs[f"{key}_uncertainty"] = segmentation.uncertainty
    adata.obs[f"{key}_coverage"] = segmentation.coverage
    colours = region_palette(segmentation.classes)
    adata.uns[f"{key}_colors"] = [colours[name] for name in segmentation.classes]


def _molecules(model: RegionModel, mz: NDArray[np.float64]) -> pd.arrays.IntegerArray:
    """Molecule of the ion of the model that each m/z is nearest to, missing where none is near."""
    ion = model.axis.ion_of(mz)
    found = np.where(ion >= 0, model.group[ion], 0)
    return pd.arrays.IntegerArray(found.astype(np.int64), ion < 0)


def _description(estimator: SpatialRegions) -> dict[str, Any]:
    """What was asked for and found, without what h5ad has no word for."""
    params = {name: value for name, value in estimator.summary().items() if value is not None}
    separation = params.pop("separation")
    described = {"params": params, "separation": np.asarray(separation, dtype=np.float64)}
    if estimator.selection_ is not None:
        described["selection"] = estimator.selection_.set_axis(
            estimator.selection_.index.astype(str), axis="index"
        )
    return described
