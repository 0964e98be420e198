"""Says where discovery looks, as the configuration names it, and as whom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from embedway_gateway.config.discovery import (
    AICoreDiscoveryConfig,
    DiscoveryConfig,
    OCIDiscoveryConfig,
)
from embedway_gateway.config.schema import Config
from embedway_gateway.discovery import (
    AICoreSource,
    Discovery,
    Found,
    OCISource,
    Source,
    Watched,
    control_plane,
)
from embedway_upstream import Credentials, Transport

__all__ = ["Lookout", "Place", "make_lookout", "stated_names"]

Place = tuple[str, ...]
"""
What a source lists, and with whose credentials, whatever else is said of it: in the next
configuration it is the same place.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookout:
    """The loop over all places; credentials' names and places are by the source's name."""

    discovery: Discovery
    logins: Mapping[str, str]
    places: Mapping[str, Place]

    @property
    def lists(self) -> dict[Place, Sequence[Found]]:
        """What was found at each place last."""
        status = self.discovery.status
        return {place: status[source].found for source, place in self.places.items()}


def make_lookout(
    config: Config,
    credentials: Mapping[str, Credentials],
    transport: Transport,
    *,
    before: Mapping[Place, Sequence[Found]],
) -> Lookout:
    """Until a place is listed, what was found there `before` counts."""
    watched: list[Watched] = []
    logins: dict[str, str] = {}
    places: dict[str, Place] = {}
    times: Counter[Place] = Counter()
    for index, item in enumerate(config.discovery):
        for place, source in _sources(item, f"discovery[{index}]", credentials, transport):
            watched.append(Watched(source, item.refresh))
            logins[source.name] = item.credentials
            # Two may look at one place, each for other configurations' names.
            places[source.name] = (*place, str(times[place]))
            times[place] += 1
    known = {
        source: [replace(one, source=source) for one in before.get(place, ())]
        for source, place in places.items()
    }
    discovery = Discovery(watched, static=stated_names(config), known=known)
    return Lookout(discovery=discovery, logins=logins, places=places)


def stated_names(config: Config) -> set[str]:
    """What the configuration names itself."""
    return {name for model in config.models for name in (model.name, *model.aliases)}


def _sources(
    item: DiscoveryConfig, name: str, credentials: Mapping[str, Credentials], transport: Transport
) -> Iterator[tuple[Place, Source]]:
    login = credentials[item.credentials]
    if isinstance(item, AICoreDiscoveryConfig):
        yield _on_aicore(item, name, login, transport)
        return
    # One for each compartment, so that each has its own outage.
    for index, compartment in enumerate(item.compartment_id):
        called = f"{name}.{index}" if len(item.compartment_id) > 1 else name
        yield _on_oci(item, called, compartment, login, transport)


def _on_aicore(
    item: AICoreDiscoveryConfig, name: str, login: Credentials, transport: Transport
) -> tuple[Place, Source]:
    from embedway_upstream.platforms.aicore_login import address_of, group_of

    address, group = item.api_url or address_of(login), item.resource_group or group_of(login)
    source = AICoreSource(
        api_url=address,
        resource_group=group,
        scenario_id=item.scenario_id,
        credentials=login,
        transport=transport,
        config_names=item.config_names,
        model_parameter=item.model_parameter,
        engine=item.engine,
        name=name,
    )
    return ("aicore", address, group, item.scenario_id, item.credentials), source


def _on_oci(
    item: OCIDiscoveryConfig, name: str, compartment: str, login: Credentials, transport: Transport
) -> tuple[Place, Source]:
    address = control_plane(item.region or "", item.service_endpoint)
    source = OCISource(
        endpoint=address,
        compartment_id=compartment,
        credentials=login,
        transport=transport,
        name=name,
    )
    return ("oci", address, compartment, item.credentials), source
