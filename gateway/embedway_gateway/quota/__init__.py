"""How much a caller may use, and who counts it."""
