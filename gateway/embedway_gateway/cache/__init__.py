"""What was embedded before: where it is kept, under which names, and when it may be used."""
