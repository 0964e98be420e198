"""Local models in a process of their own, which several workers share: one in memory, not N."""
