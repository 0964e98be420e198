"""Lets the workers of a Ray cluster embed the chunks of a bulk job."""
