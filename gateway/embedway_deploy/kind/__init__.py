"""The kinds of steps: how each is found again, made and removed."""
