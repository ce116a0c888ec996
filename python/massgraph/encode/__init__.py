"""From spectra to what networks read: axis, calibration, ions, molecules, features."""
