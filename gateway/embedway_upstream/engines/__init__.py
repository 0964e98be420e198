"""The dialects of the servers that embed; each is pure and does no I/O."""
