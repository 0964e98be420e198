"""Whether a deployment gives the model's vectors, asked the way in which the gateway will."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from embedway_deploy.error import WrongVectors
from embedway_deploy.kind.publication import withdraw
from embedway_deploy.kind.text import ORDINARY, pair, texts
from embedway_deploy.reference import embed_locally
from embedway_deploy.run import Run
from embedway_deploy.state import State
from embedway_deploy.step import Check
from embedway_gateway.config.schema import ModelConfig, UpstreamConfig

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from embedway_upstream import EmbeddingResponse

__all__ = ["CheckKind", "cosines", "upstream"]

_TRIES = 5
_SECONDS = 55.0
# Of one text embedded twice; half precision on a GPU is about 1e-6 off.
_EQUAL = 1 - 1e-5


class CheckKind:
    """A smoke test: cannot be found, only done."""

    def problems(self, step: Check, run: Run) -> Iterator[str]:
        """None: the model was read when the plan was made."""
        return iter(())

    def look(self, step: Check, run: Run) -> State:
        """Unknown; where it would be asked."""
        return State(status="unknown", words="is asked at the end of every run")

    def make(self, step: Check, run: Run, state: State) -> State:
        """Embed, and compare. Raises `WrongVectors`, or what the gateway's code raises."""
        found = run.states[step.deployment]
        run.report.say("embedding through the gateway's own code")
        asked = texts(step.max_tokens)
        response = _answered(step, run, found, asked)
        wanted = embed_locally(step.model, asked, max_tokens=step.max_tokens, pooling=step.pooling)
        worst = float(cosines(response.vectors, wanted).min())
        # So written, a vector of NaN is wrong as well, which is not less than anything.
        if not worst >= step.agreement:
            raise WrongVectors(
                f"{found.id} answers, but its vectors are not the model's: the worst cosine with "
                f"the local runtime is {worst:.5f}, and {step.agreement} is needed. Nothing was "
                "removed. Look at pooling, prompts and truncation of what was deployed. "
                + _withheld(run, found)
            )
        words = f"{len(asked)} texts, worst cosine with the local runtime {worst:.6f}"
        words += _reaching(step, run, found)
        return State(status="present", words=words, facts={"cosine": f"{worst:.6f}"})

    def remove(self, step: Check, run: Run) -> bool:
        """There is nothing."""
        return False

    def log(self, step: Check, run: Run, lines: int) -> list[str]:
        """None."""
        return []


def _answered(step: Check, run: Run, found: State, asked: Sequence[str]) -> EmbeddingResponse:
    # In a thread: in a notebook, where deployments are often made, an event loop runs already.
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(_embedded(step, run, found, asked))).result()


def _reaching(step: Check, run: Run, found: State) -> str:
    """
    Words on long texts, of which cosines tell little: two that differ near the model's longest
    must have different vectors. One that takes too long to answer is not wrong.
    """
    from embedway_upstream import EmbeddingError

    if step.max_tokens is None or step.max_tokens <= ORDINARY:
        return ""
    # A vocabulary without these letters takes both for one unknown word.
    known = embed_locally(step.model, pair(16), max_tokens=None, pooling=step.pooling)
    if not float(cosines(known[:1], known[1:])[0]) < _EQUAL:
        return ""
    run.report.say(f"embedding texts of almost {step.max_tokens} tokens")
    try:
        # One by one, so that each has a minute.
        one, other = (_answered(step, run, found, [text]) for text in pair(step.max_tokens))
    except EmbeddingError as error:
        return f"; texts of almost {step.max_tokens} tokens were not answered: {error}"
    if not float(cosines(one.vectors, other.vectors)[0]) < _EQUAL:
        raise WrongVectors(
            f"{found.id} cuts texts before the model does: two that differ after three quarters of "
            f"{step.max_tokens} tokens have one vector. Nothing was removed. Look at the longest "
            "text, and the tokens in a batch, of what was deployed. " + _withheld(run, found)
        )
    return f"; texts of almost {step.max_tokens} tokens are read to their ends"


def _withheld(run: Run, found: State) -> str:
    """Nobody is to be given these vectors; what cannot be hidden is said."""
    if found.facts.get("resource_group"):
        return (
            "A gateway with discovery of this scenario finds it all the same, for AI Core has no "
            f"mark that hides it: embedway deploy destroy {run.plan.name}"
        )
    withdraw(run, found.id)
    return "Discovery does not find it: its tag is embedway: off, until a check passes"


def upstream(step: Check, found: State) -> UpstreamConfig:
    """The deployment as an entry of the gateway's configuration."""
    if group := found.facts.get("resource_group"):
        return UpstreamConfig(
            name="aicore",
            engine=step.engine,
            platform="aicore",
            url=found.facts["url"],
            resource_group=group,
            model=step.served,
            credentials="aicore",
            timeout=_SECONDS,
        )
    return UpstreamConfig(
        name="oci",
        engine=step.engine,
        platform="oci",
        url=found.facts["url"],
        invoke=step.invoke,
        model=step.served,
        credentials="oci",
        timeout=_SECONDS,
    )


def cosines(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float64]:
    """Of each pair of rows."""
    import numpy as np

    one, other = left.astype(np.float64), right.astype(np.float64)
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    found: NDArray[np.float64] = (one * other).sum(axis=1) / np.maximum(lengths, 1e-12)
    return found


async def _embedded(step: Check, run: Run, found: State, texts: Sequence[str]) -> EmbeddingResponse:
    # Imported here: they bring the whole client of the gateway.
    from embedway_gateway.layers.timeout import Timeout
    from embedway_gateway.leaf import embedding_leaf
    from embedway_gateway.wire import make_transport
    from embedway_upstream import EmbeddingError, EmbeddingRequest
    from embedway_upstream.credentials.accept import credentials_from
    from embedway_upstream.proxy import read_proxies

    item = upstream(step, found)
    config = ModelConfig(name=run.plan.model, dimensions=step.dimensions, upstreams=(item,))
    credentials = credentials_from(run.cloud.sign_in.signer)
    transport = make_transport(read_proxies())
    try:
        # The first call of a deployment may meet one that is active, but not warm.
        for attempt in range(1, _TRIES + 1):
            credentials.refresh()
            leaf = embedding_leaf(item, config, {item.name: credentials}, transport)
            service = Timeout(leaf.service, seconds=_SECONDS, upstream=item.name)
            try:
                return await service.send(EmbeddingRequest(config.name, tuple(texts)))
            except EmbeddingError as error:
                if attempt == _TRIES or not error.retryable:
                    raise
                run.report.say(f"not yet: {error}")
                run.sleep(run.poll)
        raise AssertionError
    finally:
        await transport.close()
