"""Embeds files: reads texts, embeds them in chunks that survive any interruption, writes vectors."""
