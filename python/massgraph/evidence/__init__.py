"""Models side by side: baselines, scores, evaluation, benchmark."""
