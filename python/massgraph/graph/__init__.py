"""Graphs of peaks: typed edges, messages along them, batches."""
