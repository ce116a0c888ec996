"""Fitted models as folders on disk: nothing in them is run."""

from massgraph.store.folder import ModelError, load, save

__all__ = ["ModelError", "load", "save"]
