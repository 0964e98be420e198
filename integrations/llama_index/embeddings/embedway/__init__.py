"""Embedway for LlamaIndex: embeddings through a gateway, or in this process."""

from llama_index.embeddings.embedway.embedding import EmbedwayEmbedding

__all__ = ["EmbedwayEmbedding"]
