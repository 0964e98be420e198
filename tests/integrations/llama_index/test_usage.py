"""What handlers and dispatchers are told: each batch once, with the tokens that were counted."""

from __future__ import annotations

import pytest
from llama_index.core.callbacks import (
    CallbackManager,
    CBEventType,
    EventPayload,
    LlamaDebugHandler,
    TokenCountingHandler,
)
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events.embedding import EmbeddingEndEvent, EmbeddingStartEvent
from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler
from llama_index.core.llms import MockLLM
from llama_index.core.rate_limiter import BaseRateLimiter
from llama_index.core.storage.kvstore import SimpleKVStore

from embedway_client import collect_usage
from llama_index.embeddings.embedway import EmbeddingUsageEvent, EmbedwayEmbedding, TokenUsage

KEY = "sk-very-secret"
TEXTS = ["one two", "three", "four five six"]


@pytest.fixture
def events():
    seen = []

    class Remember(BaseEventHandler):
        def handle(self, event, **kwargs):
            seen.append(event)

    dispatcher, spans = get_dispatcher(), SimpleSpanHandler()
    before = list(dispatcher.event_handlers), list(dispatcher.span_handlers)
    dispatcher.add_event_handler(Remember())
    dispatcher.add_span_handler(spans)
    yield seen
    dispatcher.event_handlers, dispatcher.span_handlers = before
    assert not spans.open_spans


def embeddings(events):
    return [event for event in events if isinstance(event, EmbeddingStartEvent | EmbeddingEndEvent)]


async def test_each_batch_has_a_start_and_an_end_with_usage(server, events):
    model = EmbedwayEmbedding("m", base_url=server.url, api_key=KEY, batch_size=2)
    vectors = model.get_text_embedding_batch(TEXTS)
    await model.aget_text_embedding_batch(TEXTS)
    model.get_query_embedding("a b")
    await model.aget_text_embedding("a")
    told = embeddings(events)
    ends = [event for event in told if isinstance(event, EmbeddingUsageEvent)]

    assert [type(event) for event in told[:4]] == [EmbeddingStartEvent, EmbeddingUsageEvent] * 2
    assert (ends[0].chunks, ends[0].embeddings) == (TEXTS[:2], vectors[:2])
    assert sorted(event.usage["prompt_tokens"] for event in ends) == [1, 2, 3, 3, 3, 3]
    assert {event.class_name() for event in told} == {"EmbeddingStartEvent", "EmbeddingEndEvent"}
    assert told[0].model_dict["model_name"] == "m"
    assert told[0].span_id is not None
    assert KEY not in repr(told)


def test_what_comes_from_the_cache_costs_nothing(server, events):
    model = EmbedwayEmbedding("m", base_url=server.url, embeddings_cache=SimpleKVStore())
    model.get_text_embedding_batch(TEXTS)
    model.get_text_embedding_batch([*TEXTS, "new"])
    usages = [event.usage for event in events if isinstance(event, EmbeddingUsageEvent)]

    assert [usage["total_tokens"] for usage in usages] == [6, 1]


async def test_callback_handlers_are_told_the_same(server):
    debug = LlamaDebugHandler(print_trace_on_end=False)
    manager = CallbackManager([debug])
    model = EmbedwayEmbedding("m", base_url=server.url, batch_size=2, callback_manager=manager)
    model.get_text_embedding_batch(TEXTS)
    await model.aget_text_embedding_batch(TEXTS)
    pairs = debug.get_event_pairs(CBEventType.EMBEDDING)

    assert [len(pair) for pair in pairs] == [2] * 4
    start, end = pairs[0]
    assert start.payload[EventPayload.SERIALIZED]["model_name"] == "m"
    assert end.payload[EventPayload.CHUNKS] == TEXTS[:2]
    assert len(end.payload[EventPayload.EMBEDDINGS]) == 2
    usage = {"usage": {"prompt_tokens": 3, "total_tokens": 3}}
    assert end.payload[EventPayload.ADDITIONAL_KWARGS] == usage


def test_a_failure_ends_the_event(server):
    debug = LlamaDebugHandler(print_trace_on_end=False)
    model = EmbedwayEmbedding(
        "m", base_url=server.url, max_retries=0, callback_manager=CallbackManager([debug])
    )
    server.error(500, message="It broke.")
    with pytest.raises(Exception, match="It broke"):
        model.get_text_embedding("a")
    ((_, end),) = debug.get_event_pairs(CBEventType.EMBEDDING)

    assert "It broke" in str(end.payload[EventPayload.EXCEPTION])


def test_token_usage_counts_what_the_server_counted(server):
    """The framework's own handler asks its tokenizer, which is another model's."""
    true, guessed = TokenUsage(tokenizer=list), TokenCountingHandler(tokenizer=list)
    model = EmbedwayEmbedding(
        "m", base_url=server.url, batch_size=2, callback_manager=CallbackManager([true, guessed])
    )
    model.get_text_embedding_batch(TEXTS)

    assert true.total_embedding_token_count == 6
    assert len(true.embedding_token_counts) == 2
    assert true.embedding_token_counts[0].prompt == "one two\nthree"
    assert guessed.total_embedding_token_count == sum(map(len, TEXTS))


def test_token_usage_leaves_all_else_to_the_framework(server, capsys):
    counter = TokenUsage(tokenizer=list, verbose=True)
    manager = CallbackManager([counter])
    MockLLM(callback_manager=manager).complete("abcd")
    assert counter.total_llm_token_count > 0

    EmbedwayEmbedding("m", base_url=server.url, callback_manager=manager).get_text_embedding("a b")
    assert "Embedding Token Usage: 2" in capsys.readouterr().out
    counter.reset_counts()
    ignoring = TokenUsage(tokenizer=list, event_ends_to_ignore=[CBEventType.EMBEDDING])
    with_it = CallbackManager([ignoring])
    EmbedwayEmbedding("m", base_url=server.url, callback_manager=with_it).get_text_embedding("a")
    assert counter.total_embedding_token_count == ignoring.total_embedding_token_count == 0


async def test_usage_is_collected_and_reported(server):
    told = []
    model = EmbedwayEmbedding("m", base_url=server.url, on_usage=told.append)
    with collect_usage() as collected:
        model.get_text_embedding_batch(TEXTS)
        await model.aget_query_embedding("a b")

    assert collected.total_tokens == 8
    assert [event.usage.total_tokens for event in told] == [6, 2]


class Turnstile(BaseRateLimiter):
    passed = 0

    def acquire(self, num_tokens=0):
        self.passed += 1

    async def async_acquire(self, num_tokens=0):
        self.passed += 1


async def test_the_rate_limiter_sees_every_request_and_no_other(server):
    limiter = Turnstile()
    model = EmbedwayEmbedding(
        "m",
        base_url=server.url,
        batch_size=2,
        rate_limiter=limiter,
        embeddings_cache=SimpleKVStore(),
    )
    model.get_text_embedding_batch(TEXTS)
    await model.aget_text_embedding_batch(TEXTS)
    await model.aget_query_embedding("q")

    assert limiter.passed == server.requests == 3
