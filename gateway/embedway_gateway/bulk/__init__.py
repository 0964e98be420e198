"""Embeds files of texts in chunks that survive any interruption, into one file of vectors."""
