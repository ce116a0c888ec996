"""Doors to files. A reader knows nothing of graphs; a model nothing of files."""
