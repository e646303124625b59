"""An empty Starlette route on the stack that `runner serve` has: prints its URL, serves until SIGTERM."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from runner.server.serve import listening_at, run_loop, serve_app, url_of


async def _empty(_: Request) -> Response:
    return Response()


def main() -> None:
    app = Starlette(routes=[Route("/", _empty, methods=["GET", "POST"])])
    with listening_at("127.0.0.1", 0) as listening:
        run_loop(serve_app(app, listening, lambda: print(url_of(listening), flush=True)))


if __name__ == "__main__":
    main()
