"""What learns: layers and models in torch."""
