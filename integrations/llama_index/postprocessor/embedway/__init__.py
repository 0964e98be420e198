"""Embedway for LlamaIndex: reranking through a gateway, or in this process."""

from llama_index.postprocessor.embedway.rerank import EmbedwayRerank

__all__ = ["EmbedwayRerank"]
