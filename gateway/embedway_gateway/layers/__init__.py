"""What is done around a call, one concern a file; `stack.py` puts them in order."""
