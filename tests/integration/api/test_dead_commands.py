"""`millrace dead` and `millrace workers` with a real api: what they ask for is what it takes."""

import json

from tests.integration.api.served import ServedApi
from tests.integration.api.test_dead import dead, listed
from tests.millrace_command import run


async def test_dead_calls_are_listed_requeued_and_purged(api: ServedApi) -> None:
    ours, others = await dead(api, 3), await dead(api, 1, "other")
    shown = await run("dead", "list", "--app", "app", port=api.port)
    assert [line.split()[0] for line in shown.output.splitlines()] == ["call", *ours[::-1]]
    page = json.loads((await run("dead", "list", "--all", "--json", port=api.port)).stdout)
    assert [call["id"] for call in page["calls"]] == [*others, *ours[::-1]]
    requeued = await run("dead", "requeue", ours[0], port=api.port)
    assert (requeued.exit_code, requeued.stdout) == (0, b"1 requeued\n")
    assert [str(one.call.parent_id) for one in await api.claim()] == [ours[0]]
    assert (await run("dead", "purge", "--app", "app", port=api.port)).stdout == b"2 purged\n"
    assert await listed(api) == others
    assert (await run("dead", "purge", "--all", "--yes", port=api.port)).stdout == b"1 purged\n"
    assert await listed(api) == []
    for command in (("list", "--app", "none"), ("requeue", "--app", "none"), ("purge", "--app", "none")):
        refused = await run("dead", *command, port=api.port)
        assert (refused.exit_code, "App not found" in refused.output) == (1, True)
    assert (await run("dead", "requeue", "nonsense", port=api.port)).exit_code == 1
