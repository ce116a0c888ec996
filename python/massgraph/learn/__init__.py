"""Learning: settings, objectives, the training loop, cross fitting, checkpoints."""
