"""From spectra to what networks read: axis, ions, molecules, features."""
