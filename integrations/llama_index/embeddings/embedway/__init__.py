"""Embedway for LlamaIndex: embeddings through a gateway, or in this process."""

from llama_index.embeddings.embedway.embedding import EmbedwayEmbedding
from llama_index.embeddings.embedway.usage import EmbeddingUsageEvent, TokenUsage

__all__ = ["EmbeddingUsageEvent", "EmbedwayEmbedding", "TokenUsage"]
