"""Fitted models as folders on disk: nothing in them is run."""

from massgraph.store.folder import Model, ModelError, load, save

__all__ = ["Model", "ModelError", "load", "save"]
