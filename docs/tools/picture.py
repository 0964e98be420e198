"""The diagrams of the pages."""

from __future__ import annotations

from drawing import SITE, Box, Drawing

__all__ = ["drawings"]

LAYERS = (
    ("Observe", "counts every outcome, the refused ones too"),
    ("Shorten · Prompt", "below, vectors are whole and texts are final"),
    ("Cache", "answers known texts, asks for the others only"),
    ("Coalesce · Steady · Split", "texts of many callers in one call, one space"),
    ("Hedge", "asks a second upstream when the first is slow"),
    ("Retry", "a failed piece alone, out of a budget"),
    ("Route", "priority, weight, load; the breakers"),
)
BELOW = (
    ("SameSpace", "serves only once its vectors are proven"),
    ("Limit · Paced", "waits for a slot, and for the tenancy's rate"),
    ("Timeout", "charged with the call alone"),
    ("Upstream", "sign, send, read, check every number"),
)


def drawings() -> dict[str, str]:
    """Each file's text, by its name."""
    made = [request_path(), coalescing(), vector_space(), topologies()]
    return {"site.css": SITE, **{f"{one.name}.svg": one.svg() for one in made}}


def request_path() -> Drawing:
    one = Drawing("request-path", "The layers that a request passes", 760, 600)
    caller = one.box(Box(20, 16, 330, 34), "POST /v1/embeddings", fill="blue")
    place = caller
    for number, (title, words) in enumerate(LAYERS):
        here = one.box(Box(20, 70 + 56 * number, 330, 44), title, words)
        one.arrow(place.bottom, here.top)
        place = here
    one.text(372, 66, "Once for each model", kind="strong")
    notes = (
        "A layer that is not needed is not there.",
        "Each has one method, send(request), and holds",
        "the next one as inner.",
        "The order is spelt out in one file, stack.py.",
    )
    for number, line in enumerate(notes):
        one.text(372, 88 + 18 * number, line, kind="soft", size=12)
    one.text(20, 486, "Once for each upstream", kind="strong")
    one.arrow(place.bottom, (place.middle[0], 468))
    one.frame(Box(20, 498, 720, 92), "")
    for number, (title, words) in enumerate(BELOW):
        one.box(Box(28 + 178 * number, 508, 170, 72), title, *_halves(words))
        if number:
            one.arrow((198 + 178 * (number - 1), 544), (28 + 178 * number, 544))
    one.box(Box(400, 250, 150, 60), "cache", "memory or Redis", fill="amber")
    one.arrow((350, 204), (475, 204), (475, 250))
    one.box(Box(400, 380, 150, 60), "other upstreams", "of the same space", fill="green")
    one.arrow((350, 428), (400, 420))
    one.text(566, 276, "a hit ends the way here", kind="soft", size=12)
    one.text(566, 406, "a second try may land", kind="soft", size=12)
    one.text(566, 424, "on another upstream", kind="soft", size=12)
    return one


def _halves(words: str) -> list[str]:
    """Two lines of about the same length."""
    parts = words.split()
    cut = min(
        range(1, len(parts)),
        key=lambda n: max(len(" ".join(parts[:n])), len(" ".join(parts[n:]))),
    )
    return [" ".join(parts[:cut]), " ".join(parts[cut:])]


def coalescing() -> Drawing:
    one = Drawing("coalescing", "Texts of many callers travel in one call", 760, 330)
    one.text(20, 28, "While every slot is busy, texts wait in two lanes", kind="strong")
    callers = (
        ("caller A", "query: q1", "blue"),
        ("caller B", "query: q2", "blue"),
        ("caller C", "d1 … d40", "box"),
        ("caller D", "d1, d41", "box"),
    )
    lanes = {
        "blue": one.box(Box(210, 62, 160, 84), "queries", "nine texts of ten", fill="blue"),
        "box": one.box(Box(210, 184, 160, 84), "documents", "callers take turns", "of 32 texts"),
    }
    for number, (name, texts, lane) in enumerate(callers):
        here = one.box(Box(20, 48 + 61 * number, 130, 50), name, texts, fill=lane)
        one.arrow(here.right, lanes[lane].left)
    one.box(Box(640, 130, 100, 70), "upstream", "sees two", "calls")
    calls = (("blue", 62, ("q1, q2",)), ("box", 184, ("d1 once, for", "C and D; d2 …")))
    for number, (lane, y, lines) in enumerate(calls):
        call = one.box(Box(430, y, 150, 84), "one call", *lines, fill="amber")
        one.arrow(lanes[lane].right, call.left)
        one.arrow(call.right, (640, 150 + 30 * number))
    words = "Each caller gets its own vectors, in its own order, and only its own errors."
    one.text(20, 306, words, kind="soft", size=12)
    return one


def vector_space() -> Drawing:
    one = Drawing("vector-space", "One model, one vector space", 760, 370)
    model = one.box(Box(20, 128, 150, 76), "model", "minilm", "space vs1-…", fill="blue")
    one.text(205, 28, "Each upstream embeds the same eight canaries", kind="strong")
    rows = (
        ("local", "priority 1", "the reference: it defines the space", "green"),
        ("ashburn", "priority 0", "cosine 0.99999: serves", "green"),
        ("phoenix", "priority 0", "cosine 0.41: quarantined, serves nothing", "red"),
    )
    for number, (name, priority, verdict, fill) in enumerate(rows):
        here = one.box(Box(230, 50 + 86 * number, 140, 60), name, priority, fill=fill)
        one.arrow(model.right, here.left, dashed=fill == "red")
        one.text(388, 84 + 86 * number, verdict, kind="soft", size=12)
    one.frame(Box(20, 300, 720, 56), "")
    fallback = "While ashburn cannot serve, local does: a fallback, told by x-embedway-fallback."
    one.text(34, 322, fallback, size=12)
    never = "phoenix never stands in: a wrong vector with status 200 spoils an index silently."
    one.text(34, 342, never, size=12)
    return one


def topologies() -> Drawing:
    one = Drawing("topologies", "Where the parts run", 760, 448)
    one.frame(Box(14, 14, 732, 122), "OCI Data Science: each call is signed")
    _row(
        one,
        38,
        "IAM signature",
        ("LangChain", "LlamaIndex,", "OpenAI clients"),
        ("gateway", "holds the", "credentials"),
        ("model deployments", "TEI, OVMS, vLLM,", "ONNX score.py"),
    )
    one.frame(Box(14, 150, 732, 122), "SAP AI Core: deployments are found by themselves")
    _row(
        one,
        174,
        "OAuth2 token",
        ("application", "on BTP or", "elsewhere"),
        ("gateway", "discovery of", "type aicore"),
        ("deployments", "infinity, in a", "resource group"),
    )
    one.frame(Box(14, 286, 732, 148), "A laptop, offline: one process, or a gateway on loopback")
    one.box(Box(34, 312, 150, 106), "your process", 'base_url="local"', fill="blue")
    gateway = one.box(Box(274, 314, 150, 44), "gateway", "embedway serve", fill="amber")
    store = ("EMBEDWAY_HOME,", "no network needed")
    one.box(Box(560, 312, 166, 106), "model store", *store, fill="green")
    one.arrow((184, 336), gateway.left)
    one.arrow(gateway.right, (560, 336))
    one.arrow((184, 394), (560, 394))
    one.text(372, 386, "ONNX Runtime in the same process", anchor="middle", kind="soft", size=12)
    return one


def _row(one: Drawing, y: float, way: str, *parts: tuple[str, ...]) -> None:
    """Who asks, the gateway, and who answers."""
    left, middle, right = parts
    a = one.box(Box(34, y, 150, 84), *left, fill="blue")
    b = one.box(Box(274, y, 150, 84), *middle, fill="amber")
    c = one.box(Box(560, y, 166, 84), *right, fill="green")
    one.arrow(a.right, b.left)
    one.arrow(b.right, c.left)
    one.text(229, y + 34, "/v1", anchor="middle", kind="soft", size=12)
    one.text(492, y + 34, way, anchor="middle", kind="soft", size=12)
