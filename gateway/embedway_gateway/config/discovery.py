"""Where deployments are looked for."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from embedway_gateway.config.strict import Strict
from embedway_gateway.config.value import Duration

__all__ = ["AICoreDiscoveryConfig", "DiscoveryConfig", "OCIDiscoveryConfig"]


_ONE_OR_MORE = {
    "anyOf": [
        {"type": "string"},
        {"type": "array", "items": {"type": "string"}, "minItems": 1},
    ]
}


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


class OCIDiscoveryConfig(Strict):
    """The model deployments of one or more compartments of OCI Data Science."""

    type: Literal["oci"]
    region: str | None = None
    """`us-ashburn-1`; its address is looked up in the oci SDK."""
    service_endpoint: str | None = None
    """Instead of `region`: the address, without the API's version."""
    compartment_id: Annotated[
        tuple[str, ...], BeforeValidator(_listed), Field(min_length=1), WithJsonSchema(_ONE_OR_MORE)
    ]
    """One, or a list; compartments inside are not searched."""
    credentials: str
    """A name from `credentials`."""
    refresh: Duration = 60.0
    """How often it is listed."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.region is None) == (self.service_endpoint is None):
            raise ValueError("give either region or service_endpoint")
        return self


class AICoreDiscoveryConfig(Strict):
    """The running deployments of one scenario on SAP AI Core."""

    type: Literal["aicore"]
    api_url: str | None = None
    """
    `AI_API_URL` of the service key; needed unless the credentials are of type `aicore` and say
    it.
    """
    resource_group: str | None = None
    """None is what the credentials say, else `default`."""
    scenario_id: str
    """The scenario whose deployments are listed."""
    config_names: tuple[str, ...] = ()
    """Patterns for the configurations' names; none takes all."""
    model_parameter: str = "modelName"
    """The parameter binding that holds the model's name."""
    engine: Literal["tei", "ovms", "infinity", "vllm", "openai"] = "infinity"
    """Where the image does not tell."""
    credentials: str
    """A name from `credentials`."""
    refresh: Duration = 60.0
    """How often it is listed."""


DiscoveryConfig = Annotated[OCIDiscoveryConfig | AICoreDiscoveryConfig, Field(discriminator="type")]
