"""What was used, by caller, model and day."""
