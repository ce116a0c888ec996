"""Results folders and pages."""
