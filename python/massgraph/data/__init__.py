"""Spectra and where they come from: peak lists, sources of blocks, splits, labels, faults."""
