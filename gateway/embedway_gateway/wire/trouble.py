"""Why an upstream cannot be reached, in words that name the cure."""

from __future__ import annotations

import errno
import socket
import ssl

from embedway_upstream import UpstreamUnreachable

__all__ = ["unreachable", "why"]

# X509_V_ERR_… of OpenSSL's x509_vfy.h.
_NOT_YET, _EXPIRED, _NAMES = 9, 10, frozenset({62, 64})


def unreachable(error: Exception, *, tls: bool = True) -> UpstreamUnreachable:
    """The error to raise for one that was met while connecting."""
    return UpstreamUnreachable(
        f"the upstream cannot be reached: {why(error, tls=tls)}", detail=type(error).__name__
    )


def why(error: Exception, *, tls: bool = True) -> str:
    """What stands in the way, and what to do. `tls`: whether that was to be spoken."""
    match error:
        case socket.gaierror() | UnicodeError():
            return "the host in its `url:` has no address; check its spelling and the network's DNS"
        case ssl.SSLCertVerificationError():
            return _of_certificate(error)
        case ssl.SSLError():
            return _of_tls(error)
        case ConnectionRefusedError():
            return "nothing listens there; check host and port in `url:`, and that it was started"
        case TimeoutError():
            return (
                "no connection in 5 seconds; check the host in `url:`, and what firewalls and "
                "routes let through"
            )
        case OSError(errno=errno.ENETUNREACH | errno.EHOSTUNREACH):
            return "no route leads there; check the host in `url:`, the network, and any VPN"
        case OSError(errno=errno.EMFILE | errno.ENFILE):
            return "this process has no file descriptors left; raise the limit (ulimit -n)"
        case ConnectionError() if tls:
            return "it hangs up before TLS is agreed on; check the port in `url:`"
    return "check host and port in `url:`, and the network"


def _of_certificate(error: ssl.SSLCertVerificationError) -> str:
    # OpenSSL's; one that Python itself raises has none.
    code = getattr(error, "verify_code", None)
    if code in _NAMES:
        return "its certificate is for another host; write in `url:` a name that it is for"
    if code == _EXPIRED:
        return "its certificate has expired; have it renewed, or set this machine's clock"
    if code == _NOT_YET:
        return "its certificate is not valid yet; set this machine's clock, or have it renewed"
    return (
        "its certificate is not trusted for this host; check the host in `url:`, and name the "
        "certificate of a private authority in SSL_CERT_FILE"
    )


def _of_tls(error: ssl.SSLError) -> str:
    if "ALERT" in (getattr(error, "reason", None) or ""):
        return (
            "it refuses our TLS; see that it offers TLS 1.2 or later, knows the host in `url:`, "
            "and asks for no client certificate"
        )
    return "it does not speak TLS there; check the port in `url:`, or write http://"
