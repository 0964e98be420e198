"""
Serves infinity's real application; run by a Python that has infinity (infinity_environment.py).

The argument is a JSON list of servers `{"prefix", "key", "models": {served name: folder}}`. Once
all answer, the JSON list of their ports is one line on stdout. It ends when stdin does. infinity's
own command line is not used: it serves one application a process.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import threading


def main() -> None:
    # What libraries print must not come between the caller and its line.
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    import uvicorn
    from infinity_emb import EngineArgs, create_server

    def application(spec):
        models = [
            EngineArgs(
                model_name_or_path=folder,
                served_model_name=name,
                engine="torch",
                device="cpu",
                dtype="float32",
                bettertransformer=False,
                model_warmup=False,
                trust_remote_code=False,
            )
            for name, folder in spec["models"].items()
        ]
        return create_server(
            engine_args_list=models, url_prefix=spec["prefix"], api_key=spec["key"]
        )

    applications = [application(spec) for spec in json.loads(sys.argv[1])]
    servers = [uvicorn.Server(uvicorn.Config(one, log_level="warning")) for one in applications]
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in servers]

    def leave() -> None:
        sys.stdin.read()
        for server in servers:
            server.should_exit = True

    async def serve() -> None:
        running = [
            asyncio.ensure_future(server.serve([one]))
            for server, one in zip(servers, sockets, strict=True)
        ]
        while not all(server.started for server in servers):
            for task in running:
                if task.done():
                    task.result()
                    raise SystemExit("a server ended before it had started")
            await asyncio.sleep(0.05)
        print(json.dumps([one.getsockname()[1] for one in sockets]), file=answer, flush=True)
        threading.Thread(target=leave, daemon=True).start()
        await asyncio.gather(*running)

    asyncio.run(serve())
    # Its threads would be waited for otherwise, the one of its telemetry for a minute.
    os._exit(0)


if __name__ == "__main__":
    main()
