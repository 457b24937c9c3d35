"""Functions without containers: a stand-in worker answers each sync call as the test has set it for its route."""

import asyncio
from typing import Any

from common.models import Call, Headers
from tests.integration.api.served import ServedApi
from tests.integration.api.stand_in import StandIn, ended

PAUSE_S = 0.01


class Functions:
    """``called`` are the calls that were made, in order."""

    def __init__(self, api: ServedApi) -> None:
        self._api = api
        self._worker = StandIn(api.queue)
        self._answers: dict[str, tuple[bytes, Headers]] = {}
        self.called: list[Call] = []

    async def add(self, path: str, body: str, answered: Headers | None = None, **fields: Any) -> str:
        """A sync route of the app "app" that answers so, with these headers; its path under /r is returned."""
        self._answers[path] = body.encode(), {"Content-Type": ["text/html"], **(answered or {})}
        return await self._api.create_route(path=path, type="sync", **fields)

    async def serve(self) -> None:
        """Answer, until cancelled."""
        while True:
            for taken in await self._worker.take_up_to(10):
                self.called.append(taken.call)
                body, headers = self._answers[taken.call.path]
                await self._worker.reply(taken, ended(result=body, response_headers=headers))
            await asyncio.sleep(PAUSE_S)
