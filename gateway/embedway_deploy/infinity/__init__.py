"""infinity on SAP AI Core."""
