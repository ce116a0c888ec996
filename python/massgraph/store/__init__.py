"""Fitted models as folders on disk: nothing in them is run."""
