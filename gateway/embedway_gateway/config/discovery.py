"""Where deployments are looked for."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from embedway_gateway.config.strict import Strict
from embedway_gateway.config.value import Duration

__all__ = ["AICoreDiscoveryConfig", "DiscoveryConfig", "OCIDiscoveryConfig"]


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


class OCIDiscoveryConfig(Strict):
    """The model deployments of one or more compartments of OCI Data Science."""

    type: Literal["oci"]
    region: str | None = None
    service_endpoint: str | None = None
    compartment_id: Annotated[tuple[str, ...], BeforeValidator(_listed), Field(min_length=1)]
    credentials: str
    refresh: Duration = 60.0

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.region is None) == (self.service_endpoint is None):
            raise ValueError("give either region or service_endpoint")
        return self


class AICoreDiscoveryConfig(Strict):
    """The running deployments of one scenario on SAP AI Core."""

    type: Literal["aicore"]
    api_url: str | None = None
    """None is what the credentials say, of type aicore; so is `resource_group`."""
    resource_group: str | None = None
    scenario_id: str
    config_names: tuple[str, ...] = ()
    model_parameter: str = "modelName"
    engine: Literal["tei", "ovms", "infinity", "vllm", "openai"] = "infinity"
    credentials: str
    refresh: Duration = 60.0


DiscoveryConfig = Annotated[OCIDiscoveryConfig | AICoreDiscoveryConfig, Field(discriminator="type")]
