"""/openapi.json, /docs: the description of the api, for programs and for people. Nothing is fetched from elsewhere."""

import asyncio
from functools import cache
from html import escape
from pathlib import Path

import msgspec
from aiohttp import web

from api.keys import TOKENS
from api.page import Page
from api.page_commands import ADDRESS, TOKEN_OPTION
from api.pages import address_of
from api.sandbox import OwnPage
from api.schemas import JSON

STATIC = Path(__file__).parents[1] / "static"


async def get_openapi(_request: web.Request) -> web.Response:
    return await _file("openapi.json", JSON)


async def get_docs(request: web.Request) -> web.Response:
    page = await asyncio.to_thread(_page)
    if not request.app[TOKENS].exist():
        page = page.replace(escape(TOKEN_OPTION).encode(), b"")
    return OwnPage(page.replace(ADDRESS.encode(), address_of(request).encode()))


async def get_style(_request: web.Request) -> web.Response:
    return await _file("docs.css", "text/css; charset=utf-8")


async def get_script(_request: web.Request) -> web.Response:
    return await _file("docs.js", "text/javascript; charset=utf-8")


async def _file(name: str, content_type: str) -> web.Response:
    return web.Response(body=await asyncio.to_thread(_read, name), headers={"Content-Type": content_type})


@cache
def _read(name: str) -> bytes:
    return (STATIC / name).read_bytes()


@cache
def _page() -> bytes:
    return Page(msgspec.json.decode(_read("openapi.json"))).html().encode()
