"""Simulated tissue of known truth."""
