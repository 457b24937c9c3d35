"""`millrace call`: call a function, or submit a call of it, and if asked to, stay until it has ended."""

import base64
import os
import sys
from pathlib import Path
from typing import Any, BinaryIO

import click
import msgspec
from multidict import CIMultiDict

from common.models import Detail
from deploy.cli.answers import Accepted, Answer, ClientError, Record, decode, refusal
from deploy.cli.asking import Api, CallFailedError, ask, json_option, url_option
from deploy.cli.client import LONG_ANSWER_S, call_path, invocation_path, path_of
from deploy.cli.durations import DURATION
from deploy.cli.examples import examples
from deploy.cli.following import follow_call
from deploy.cli.members import Pairs, as_headers, headers_of


@click.command("call")
@click.argument("app")
@click.argument("path")
@click.option(
    "-d",
    "--data",
    help="The payload; @FILE: what the file holds; -: standard input, as without it, if that is no terminal.",
)
@click.option(
    "-f", "--file", type=click.File("rb"), help="The file that holds the payload; - is standard input."
)
@click.option(
    "-H",
    "--header",
    "headers",
    multiple=True,
    callback=as_headers,
    metavar="'NAME: VALUE'",
    help="A header for the function.",
)
@click.option(
    "--async", "is_async", is_flag=True, help="Print the call's id at once, whatever the route's type."
)
@click.option(
    "--wait", "waits", is_flag=True, help="Async: follow its log on standard error; print its result."
)
@click.option("--priority", type=int, help="Async: 0 (the default) to 2, which comes first.")
@click.option("--delay", type=DURATION, metavar="TIME", help="Async: when it may start.")
@click.option(
    "--timeout", type=DURATION, metavar="TIME", help="Async: how long it may run, instead of the route's."
)
@click.option(
    "--idempotency-key", metavar="KEY", help="Async: asked again with the same key, it is one call."
)
@json_option
@url_option
@examples(
    "millrace call mine /hello --data world",
    "date | millrace call mine /upper --wait",
    "millrace call mine /upper --data @README.md --delay 1h --priority 2",
)
def call_command(app: str, path: str, url: str, **options: Any) -> None:
    """Call the function at PATH of APP.

    A sync route's answer is printed as it is. An async call is stored, and its id printed; every option that is for
    async calls makes one. Exit code 1 if it is refused or fails. TIME is in seconds, or like 90s, 15m, 1h30m, 7d.
    """
    payload = _payload(options.pop("data"), options.pop("file"))  # before the loop runs: it may take its time
    is_async, as_json = options.pop("is_async"), options.pop("as_json")
    waits, headers = options.pop("waits"), options.pop("headers")
    asked = {name: value for name, value in options.items() if value is not None}

    async def call(api: Api) -> None:
        if not (is_async or waits or asked):
            await _call(api, invocation_path(app, path), payload, headers)
            return
        answer = await _submit(api, app, payload, {"path": path, "headers": headers_of(headers), **asked})
        call_id = decode(answer, Accepted).call_id
        if waits:
            await _follow(api, app, call_id, as_json=as_json)
        elif as_json:
            api.terminal.data(answer)
        else:
            api.terminal.line(call_id)

    ask(url, call)


def how_it_ended(record: Record) -> str:
    """A call's status with what there is to say of it."""
    detail = f"exit code {record.exit_code}" if record.detail == Detail.EXIT_CODE else record.detail
    causes = [cause for cause in (record.reason, detail) if cause]
    return record.status + (f" ({', '.join(causes)})" if causes else "")


def _payload(data: str | None, file: BinaryIO | None) -> bytes:
    if data is not None and file is not None:
        raise click.UsageError("--data and --file exclude each other")
    if file is not None:
        return file.read()
    if data is not None and data != "-":
        return _contents(data[1:]) if data.startswith("@") else os.fsencode(data)
    if data is None and sys.stdin.isatty():
        return b""
    return sys.stdin.buffer.read()


def _contents(name: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except (OSError, ValueError) as error:
        cause = error.strerror if isinstance(error, OSError) else str(error)
        raise click.UsageError(
            f"--data @{name}: {cause} (text that begins with @ goes by standard input: --data -)"
        ) from None


async def _submit(api: Api, app: str, payload: bytes, asked: dict[str, object]) -> bytes:
    body = msgspec.json.encode(asked | {"payload_base64": base64.b64encode(payload).decode()})
    return await api.client.ask("POST", path_of("v1", "apps", app, "calls"), body, answer_s=LONG_ANSWER_S)


async def _call(api: Api, path: str, payload: bytes, headers: Pairs) -> None:
    """Print what is answered; the id alone if the route is async. Raises ClientError, CallFailedError."""
    answer = await api.client.send(
        *("POST", path, payload), headers=CIMultiDict(headers), answer_s=LONG_ANSWER_S
    )
    if answer.status < 400:
        accepted = _accepted(answer)
        api.terminal.data(accepted.encode() + b"\n" if accepted else answer.body)
        return
    error = refusal(f"POST {path}", answer)
    call_id = answer.headers.get("Fn_call_id")
    of_call = f", call {call_id}" if call_id else ""
    if error.is_of_api:
        raise ClientError(f"{error}{of_call}", status=error.status)
    api.terminal.data(answer.body)
    raise CallFailedError(f"the function answered {answer.status}{of_call}")


def _accepted(answer: Answer) -> str:
    """The id of the async call that was taken, if that is the answer."""
    if answer.status == 202:
        try:
            call_id = decode(answer.body, Accepted).call_id
        except ClientError:
            return ""
        return call_id if answer.headers.get("Fn_call_id") == call_id else ""
    return ""


async def _follow(api: Api, app: str, call_id: str, *, as_json: bool) -> None:
    """Show its log, then its result, or with *as_json* its record. Raises CallFailedError if it fails."""
    api.terminal.remark(f"call {call_id}")
    record, answer = await follow_call(api, app, call_id)
    if as_json:
        api.terminal.data(answer)
    if record.status != "success":
        said = f": {record.error}" if record.error else ""
        raise CallFailedError(f"call {call_id} ended with {how_it_ended(record)}{said}")
    if not as_json:
        api.terminal.data(
            await api.client.ask("GET", call_path(app, call_id, "result"), answer_s=LONG_ANSWER_S)
        )
