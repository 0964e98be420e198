"""How one deployment is asked to chat or to complete: the same address, another task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from embedway_upstream.error import BadReply, InvalidRequest, UpstreamRefused

if TYPE_CHECKING:
    from embedway_upstream.call import HTTPCall, HTTPReply
    from embedway_upstream.chat import ChatRequest, ChatTask
    from embedway_upstream.endpoint import Endpoint
    from embedway_upstream.engines.engine import Chatter

__all__ = ["ChatEndpoint"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatEndpoint:
    """
    Writes calls and reads failures. `endpoint` says where and as whom, `engine` how; the
    endpoint's `path`, where it has one, is the only one of the deployment: what is for the other
    task is refused.
    """

    endpoint: Endpoint
    engine: Chatter

    def call(self, request: ChatRequest) -> HTTPCall:
        """The call for a request, signed now; raises what `Endpoint.call` does."""
        body = self.engine.encode_chat(request)
        return self.endpoint.post(self._path(request.task), body, stream=request.stream)

    def refuse(self, reply: HTTPReply, request: ChatRequest) -> NoReturn:
        """Raise the `EmbeddingError` that a status other than 200 stands for."""
        try:
            self.endpoint.require_ok(reply, read=self.engine.chat_error)
        except InvalidRequest as error:
            if error.param not in request.fields:
                error.param = None
            raise
        raise BadReply("the upstream's reply is none", upstream=self.endpoint.name)

    def _path(self, task: ChatTask) -> str:
        path, wanted = self.endpoint.path, self.engine.chat_paths[task]
        if path is None:
            return wanted
        only = "chat" if path.rstrip("/").endswith("/chat/completions") else "completions"
        if only != task:
            raise UpstreamRefused(
                f"the upstream's `path:` is for {only}, and this request is for {task}",
                upstream=self.endpoint.name,
            )
        return path
