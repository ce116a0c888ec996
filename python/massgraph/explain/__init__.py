"""Explanations of fitted models: activations of ions, families, and whether they mean anything."""
