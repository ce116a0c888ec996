"""Chemistry: relations between ions, and how they are found in data."""
