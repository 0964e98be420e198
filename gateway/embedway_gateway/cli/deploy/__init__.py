"""`embedway deploy`, one module an engine."""
