"""What stands in front of an engine: where it is addressed, and the platform's own errors."""
