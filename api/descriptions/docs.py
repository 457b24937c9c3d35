"""The descriptions of the api's own description."""

from api.descriptions.parts import Content, Description, Descriptions
from api.handlers import docs

DESCRIPTIONS: Descriptions = {
    docs.get_openapi: Description(
        text="This document.",
        answers={"200": Content(text="OpenAPI 3.1.", examples={"application/json": {"openapi": "3.1.0"}})},
    ),
    docs.get_docs: Description(
        answers={"200": Content(text="A page of HTML.", examples={"text/html": "<!doctype html>"})},
    ),
    docs.get_style: Description(
        answers={"200": Content(text="A style sheet.", examples={"text/css": "nav {}"})}
    ),
    docs.get_script: Description(
        answers={"200": Content(text="A script.", examples={"text/javascript": '"use strict";'})}
    ),
}
