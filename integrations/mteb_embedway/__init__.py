"""Embedway for MTEB: any model that a client reaches, as an encoder that its tasks take."""

from mteb_embedway.encoder import EmbedwayEncoder

__all__ = ["EmbedwayEncoder"]
