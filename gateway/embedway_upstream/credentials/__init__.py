"""How calls are authorised."""
