"""Tokens of an identity provider: the good ones open, and no classic attack does."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import ValidationError

from doubles.issuer import AUDIENCE, ISSUER, Issuer, forged, rsa_key
from doubles.serving import served
from doubles.team import TEXTS, Team, team
from embedway_gateway.access.jwks import IssuerDown
from embedway_gateway.access.keyring import Refused
from embedway_gateway.access.token import Tokens
from embedway_gateway.config.oidc import OIDCConfig
from embedway_gateway.wire import make_transport
from embedway_upstream.proxy import Proxies


@pytest.fixture(scope="module")
def served_issuer() -> Iterator[tuple[Issuer, str]]:
    issuer = Issuer()
    with served(issuer) as url:
        yield issuer, url


@pytest.fixture
def issuer(served_issuer: tuple[Issuer, str]) -> Issuer:
    """With one key, the first."""
    issuer = served_issuer[0]
    issuer.keys = {"one": next(iter(issuer.keys.values()))}
    issuer.asked = 0
    issuer.faults.clear()
    return issuer


@dataclass
class World:
    tokens: Tokens
    issuer: Issuer
    late: float = 0.0

    async def refusal(self, token: str) -> str:
        with pytest.raises(Refused) as caught:
            await self.tokens.find(token.encode())
        return str(caught.value)


def settings(url: str, **changes: Any) -> OIDCConfig:
    facts = {"issuer": ISSUER, "audience": AUDIENCE, "jwks_url": f"{url}/jwks", "leeway": 5}
    return OIDCConfig.model_validate({**facts, **changes})


@pytest.fixture
async def world(
    issuer: Issuer, served_issuer: tuple[Issuer, str], request: pytest.FixtureRequest
) -> AsyncIterator[World]:
    transport = make_transport(Proxies({}, ()))
    config = settings(served_issuer[1], **getattr(request, "param", {}))
    world: World
    tokens = Tokens(
        config,
        transport,
        clock=lambda: time.time() + world.late,
        monotonic=lambda: time.monotonic() + world.late,
    )
    world = World(tokens, issuer)
    yield world
    await tokens.close()
    await transport.close()


async def test_a_good_token_opens_and_is_verified_once(world: World) -> None:
    token = world.issuer.token().encode()
    caller = await world.tokens.find(token)

    assert (caller.name, caller.label, caller.admin) == ("oidc:alice", "oidc", False)
    assert await world.tokens.find(token) is caller
    assert world.issuer.asked == 1


async def test_claims_set_limits_models_and_rights(world: World) -> None:
    claims = {
        "embedway_rpm": 7,
        "embedway_max_concurrency": 2,
        "embedway_models": ["bge-*", "m"],
        "embedway_admin": True,
    }
    caller = await world.tokens.find(world.issuer.token(**claims).encode())

    assert [meter.limit for meter in caller.meters] == [7]
    assert [seats.most for seats in caller.seats] == [2]
    assert caller.admin
    assert caller.pattern is not None
    assert caller.pattern.match("bge-m3")
    assert not caller.pattern.match("mm")


@pytest.mark.parametrize(
    "world",
    [
        {
            "limits": {"rpm": 9},
            "models": ["m"],
            "admin_value": "ops",
            "claims": {"admin": "roles", "name": "azp"},
        }
    ],
    indirect=True,
)
async def test_what_a_token_does_not_say_the_configuration_does(world: World) -> None:
    caller = await world.tokens.find(
        world.issuer.token(azp="service", roles=["dev", "ops"]).encode()
    )

    assert caller.name == "oidc:service"
    assert caller.admin
    assert [meter.limit for meter in caller.meters] == [9]
    assert caller.pattern is not None
    assert not caller.pattern.match("other")
    other = await world.tokens.find(world.issuer.token(azp="x", roles="opsx").encode())
    assert not other.admin


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"aud": "somebody else"}, "aud"),
        ({"aud": None}, "lacks aud"),
        ({"iss": "https://evil.example"}, "iss"),
        ({"iss": None}, "lacks iss"),
        ({"exp": None}, "lacks exp"),
        ({"exp": 1000}, "expired"),
        ({"nbf": 9_999_999_999}, "future"),
        ({"iat": 9_999_999_999}, "future"),
        ({"sub": None}, "claim sub"),
        ({"sub": "a\nb"}, "claim sub"),
        ({"sub": "x" * 200}, "claim sub"),
        ({"embedway_rpm": 0}, "embedway_rpm"),
        ({"embedway_rpm": True}, "embedway_rpm"),
        ({"embedway_tpm": "many"}, "embedway_tpm"),
        ({"embedway_models": {"a": 1}}, "embedway_models"),
    ],
)
async def test_a_token_with_wrong_claims_is_refused(
    world: World, claims: dict[str, Any], words: str
) -> None:
    assert words in await world.refusal(world.issuer.token(**claims))


async def test_clocks_may_differ_by_the_leeway_and_no_more(world: World) -> None:
    now = int(time.time())
    await world.tokens.find(world.issuer.token(exp=now - 2, iat=now + 3).encode())
    await world.refusal(world.issuer.token(exp=now - 20))


async def test_a_remembered_token_ends_too(world: World) -> None:
    # With the leeway it is good for two seconds more.
    token = world.issuer.token(exp=int(time.time()) - 3)
    await world.tokens.find(token.encode())
    end = time.monotonic() + 10
    said = ""
    while not said:
        assert time.monotonic() < end
        await asyncio.sleep(0.05)
        try:
            await world.tokens.find(token.encode())
        except Refused as error:
            said = str(error)

    assert "expired" in said


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", "", None, ["none"], 5])
async def test_a_token_without_a_signature_is_refused(world: World, name: Any) -> None:
    token = forged({"alg": name, "typ": "JWT", "kid": "one"}, world.issuer.claims())
    await world.refusal(token)
    await world.refusal(token + "x")


@pytest.mark.parametrize("form", ["pem", "stripped", "jwk"])
async def test_a_public_key_is_no_secret_for_hmac(world: World, form: str) -> None:
    """The confusion of RS256 with HS256."""
    pem = world.issuer.pem()
    secret = {"pem": pem, "stripped": pem.strip(), "jwk": world.issuer.document()}[form]
    token = forged({"alg": "HS256", "typ": "JWT", "kid": "one"}, world.issuer.claims())
    signed, _, _ = token.rpartition(".")
    mac = hmac.new(secret, signed.encode(), hashlib.sha256).digest()

    await world.refusal(
        forged({"alg": "HS256", "typ": "JWT", "kid": "one"}, world.issuer.claims(), mac)
    )


async def test_keys_that_a_token_brings_itself_are_not_looked_at(world: World) -> None:
    """jwk, jku and x5u in the head of a token are an attacker's."""
    evil = Issuer()
    public = jwt.algorithms.RSAAlgorithm.to_jwk(evil.keys["one"].public_key(), as_dict=True)
    for head in (
        {"jwk": public},
        {"jku": "https://evil.example/jwks"},
        {"x5u": "https://evil.example/cert"},
    ):
        token = jwt.encode(
            world.issuer.claims(), evil.keys["one"], "RS256", headers={"kid": "one", **head}
        )
        assert "signature" in await world.refusal(token)


async def test_another_algorithm_than_the_configured_is_refused(world: World) -> None:
    for name in ("RS512", "PS256"):
        assert "algorithm" in await world.refusal(world.issuer.token(alg=name))


@pytest.mark.parametrize("world", [{"algorithms": ["RS256", "ES256"]}], indirect=True)
async def test_a_key_serves_its_own_kind_of_algorithm_only(world: World) -> None:
    world.issuer.keys["curve"] = ec.generate_private_key(ec.SECP256R1())
    caller = await world.tokens.find(world.issuer.token("curve").encode())
    assert caller.name == "oidc:alice"

    await world.refusal(world.issuer.token("curve", kid="one"))
    await world.refusal(world.issuer.token("one", kid="curve"))


async def test_changed_tokens_are_refused(world: World) -> None:
    head, body, signature = world.issuer.token().split(".")
    _, other, _ = world.issuer.token(sub="mallory").split(".")
    for token in (
        f"{head}.{other}.{signature}",
        f"{head}.{body}.",
        f"{head}.{body}.{signature[:-4]}AAAA",
        f"{head}..{signature}",
        f".{body}.{signature}",
        f"{head}.{body}.{signature}.{signature}",
        "a.b.c",
        "..",
        "\xff.\xff.\xff",
        "a" * 20_000 + ".b.c",
    ):
        await world.refusal(token)


async def test_a_critical_extension_that_nobody_knows_is_refused(world: World) -> None:
    headers = {"kid": "one", "crit": ["exotic"], "exotic": 1}
    token = jwt.encode(world.issuer.claims(), world.issuer.keys["one"], "RS256", headers=headers)

    await world.refusal(token)


async def test_without_a_kid_the_only_key_is_taken_and_of_several_none(world: World) -> None:
    token = world.issuer.token(kid=None)
    assert (await world.tokens.find(token.encode())).name == "oidc:alice"

    world.issuer.keys["two"] = rsa_key()
    world.late = 700.0
    later = int(time.time()) + 3000
    await world.tokens.find(world.issuer.token(exp=later).encode())
    await _until(lambda: world.issuer.asked >= 2)
    # What was remembered of the old keys is forgotten.
    assert "unknown key" in await world.refusal(world.issuer.token(kid=None, exp=later))


async def test_a_new_key_is_found_and_an_old_one_ends(world: World) -> None:
    old = world.issuer.token(exp=int(time.time()) + 5000)
    await world.tokens.find(old.encode())
    world.issuer.keys = {"two": rsa_key()}
    world.late = 31.0
    await world.tokens.find(world.issuer.token("two").encode())

    assert "unknown key" in await world.refusal(old)


async def test_a_remembered_token_of_a_key_that_was_taken_back_is_refused(world: World) -> None:
    old = world.issuer.token(exp=int(time.time()) + 5000)
    await world.tokens.find(old.encode())
    world.issuer.keys = {"two": rsa_key()}
    world.late = 700.0
    # It is what has the keys looked at again.
    await world.tokens.find(old.encode())
    await _until(lambda: world.issuer.asked >= 2)

    assert "unknown key" in await world.refusal(old)


async def test_made_up_kids_ask_the_issuer_once_in_thirty_seconds(world: World) -> None:
    await world.tokens.find(world.issuer.token().encode())
    world.late = 31.0
    flood = [world.issuer.token(kid=f"made-up-{number}") for number in range(40)]
    await asyncio.gather(*(world.refusal(token) for token in flood))
    for token in flood[:5]:
        await world.refusal(token)
    assert world.issuer.asked == 2

    # The good ones are not held up by it.
    await world.tokens.find(world.issuer.token(sub="bob").encode())
    world.late = 62.0
    await world.refusal(flood[0])
    assert world.issuer.asked == 3


async def test_all_that_ask_at_first_share_one_question(world: World) -> None:
    tokens = [world.issuer.token(sub=f"user{number}") for number in range(30)]
    callers = await asyncio.gather(*(world.tokens.find(token.encode()) for token in tokens))

    assert len({caller.name for caller in callers}) == 30
    assert world.issuer.asked == 1


@pytest.mark.parametrize(
    "fault",
    [
        *(500, 404, b"<html>", b'{"keys": 5}', b"{}", b'{"keys": []}', b" " * 600_000),
        *(b'{"keys": [{"kid": "\xff"}]}', b"[" * 100_000),
    ],
)
async def test_without_the_issuers_keys_nobody_can_tell(world: World, fault: Any) -> None:
    world.issuer.faults = [fault]
    token = world.issuer.token().encode()
    with pytest.raises(IssuerDown):
        await world.tokens.find(token)
    # It is asked again soon.
    world.late = 1.1
    assert (await world.tokens.find(token)).name == "oidc:alice"


async def test_keys_of_today_serve_while_the_issuer_is_down(world: World) -> None:
    await world.tokens.find(world.issuer.token().encode())
    world.issuer.faults = [500] * 100
    late = int(time.time()) + 90_000
    world.late = 3600.0
    await world.tokens.find(world.issuer.token(exp=late).encode())
    world.late = 25 * 3600.0
    with pytest.raises(IssuerDown):
        await world.tokens.find(world.issuer.token(exp=late + 9000, sub="bob").encode())


async def test_a_key_that_is_new_while_the_issuer_is_down_is_not_a_wrong_one(world: World) -> None:
    old = world.issuer.token(exp=int(time.time()) + 5000)
    await world.tokens.find(old.encode())
    world.issuer.keys["two"] = rsa_key()
    world.issuer.faults = [500]
    new = world.issuer.token("two", exp=int(time.time()) + 5000)
    # The issuer is asked for it in vain, and then not for a while.
    for world.late in (31.0, 40.0):
        with pytest.raises(IssuerDown):
            await world.tokens.find(new.encode())
        await world.tokens.find(old.encode())

    world.late = 62.0
    await world.tokens.find(new.encode())
    assert "unknown key" in await world.refusal(world.issuer.token(kid="made-up"))


@pytest.mark.parametrize("damage", [{"n": 5}, {"n": "AA"}, {"n": None}, {"e": "AA"}])
async def test_a_damaged_key_of_the_issuers_is_an_unknown_one(world: World, damage: Any) -> None:
    token = world.issuer.token()
    published = json.loads(world.issuer.document())
    published["keys"][0].update(damage)
    world.issuer.faults = [json.dumps(published).encode()]

    assert "unknown key" in await world.refusal(token)


async def test_json_that_is_too_deep_or_too_large_is_malformed(world: World) -> None:
    deep = b'{"alg":"RS256","x":' + b"[" * 8000
    for head in (deep, b'{"alg":"RS256","kid":' + b"1" * 5000 + b"}"):
        written = base64.urlsafe_b64encode(head).rstrip(b"=").decode()
        assert "malformed" in await world.refusal(f"{written}.e30.AA")


async def test_a_token_without_an_end_in_sight_is_remembered(world: World) -> None:
    token = world.issuer.token(exp=10**400).encode()

    assert await world.tokens.find(token) is await world.tokens.find(token)


async def test_a_limit_beyond_all_bounds_is_refused(world: World) -> None:
    assert "embedway_rpm" in await world.refusal(world.issuer.token(embedway_rpm=10**400))


async def test_a_symmetric_key_in_the_issuers_list_is_no_key(world: World) -> None:
    world.issuer.faults = [b'{"keys": [{"kty": "oct", "kid": "one", "k": "c2VjcmV0"}]}']
    with pytest.raises(IssuerDown):
        await world.tokens.find(world.issuer.token().encode())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"jwks_url": "http://issuer.example/jwks"}, "https"),
        ({"jwks_url": "file:///etc/passwd"}, "https://"),
        ({"algorithms": ["HS256"]}, "algorithms"),
        ({"algorithms": ["none"]}, "algorithms"),
        ({"algorithms": []}, "algorithms"),
        ({"audience": ""}, "audience"),
    ],
)
def test_a_configuration_that_would_let_anyone_in_is_refused(
    changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValidationError, match=words):
        settings("https://issuer.example", **changes)


@pytest.fixture(scope="module")
def guarded(
    served_issuer: tuple[Issuer, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Team]:
    oidc = settings(served_issuer[1]).model_dump()
    folder: Path = tmp_path_factory.mktemp("oidc")
    with team(folder, server={"oidc": oidc}) as one:
        yield one


def test_tokens_and_keys_open_the_same_gateway(guarded: Team, issuer: Issuer) -> None:
    token = issuer.token(embedway_models="m other", embedway_rpm=100)
    with guarded.client(token) as client:
        answer = client.embeddings.with_raw_response.create(model="m", input=TEXTS)
        assert [model.id for model in client.models.list()] == ["org/m", "other"]
    assert answer.headers["x-ratelimit-limit-requests"] == "100"
    with guarded.http(guarded.admin) as http:
        rows = http.get("/admin/usage", params={"key": "oidc:alice"}).json()["data"]
        assert [row["requests"] for row in rows] == [1]
        assert 'key="oidc"' in http.get("/metrics").text
        assert "alice" not in http.get("/metrics").text


def test_a_bad_token_is_a_401_that_repeats_nothing(guarded: Team, issuer: Issuer) -> None:
    token = issuer.token(aud="planted-audience")
    with guarded.http(token) as http:
        answer: httpx.Response = http.post("/v1/embeddings", json={})

    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "invalid_api_key"
    assert "planted" not in answer.text


async def _until(holds: Any) -> None:
    end = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)
    # And what follows from it.
    await asyncio.sleep(0.05)
