"""LangChain's own standard tests, against the real gateway and in this process."""

from __future__ import annotations

import pytest
from langchain_tests.integration_tests import EmbeddingsIntegrationTests
from langchain_tests.unit_tests import EmbeddingsUnitTests

from langchain_embedway import EmbedwayEmbeddings


class TestUnit(EmbeddingsUnitTests):
    @property
    def embeddings_class(self):
        return EmbedwayEmbeddings

    @property
    def embedding_model_params(self):
        return {"model": "minilm"}

    @property
    def init_from_env_params(self):
        environment = {
            "EMBEDWAY_BASE_URL": "https://gateway.example/v1",
            "EMBEDWAY_API_KEY": "of-the-environment",
        }
        expected = {"base_url": "https://gateway.example/v1", "api_key": "of-the-environment"}
        return environment, {"model": "minilm"}, expected


class TestThroughTheGateway(EmbeddingsIntegrationTests):
    @pytest.fixture(autouse=True)
    def _address(self, gateway):
        self.base_url = gateway.base_url

    @property
    def embeddings_class(self):
        return EmbedwayEmbeddings

    @property
    def embedding_model_params(self):
        return {"model": "sentence-transformers/all-MiniLM-L6-v2", "base_url": self.base_url}


class TestInThisProcess(EmbeddingsIntegrationTests):
    @pytest.fixture(autouse=True)
    def _model(self, model_in_store):
        self.name = model_in_store

    @property
    def embeddings_class(self):
        return EmbedwayEmbeddings

    @property
    def embedding_model_params(self):
        return {"model": self.name, "base_url": "local"}
