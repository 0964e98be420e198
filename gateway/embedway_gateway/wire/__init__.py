"""HTTP/1.1 to upstreams, with as little between a call and its bytes as there can be."""

from embedway_gateway.wire.choice import Carrier, make_transport
from embedway_gateway.wire.transport import WireTransport

__all__ = ["Carrier", "WireTransport", "make_transport"]
