"""Graphs of peaks: typed edges, the messages along them, and batches of both."""
