"""massgraph: relational graph learning on mass spectra."""
