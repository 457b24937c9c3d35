"""The descriptions of what a process says about itself."""

from api import VERSION
from api.descriptions.parts import JSON, TEXT, Content, Description, Descriptions, Failure, json
from api.handlers import health
from api.overviews import Greeting, Health, Readiness, Version

EXPOSITION = "# TYPE millrace_calls_accepted_total counter\nmillrace_calls_accepted_total 12.0\n"

DESCRIPTIONS: Descriptions = {
    health.hello: Description(
        text="To who accepts `text/html`, as browsers do, a page that leads on.",
        answers={
            "200": Content(
                text="A greeting.",
                examples={JSON: Greeting(goto="/v1/apps", hello="world!"), "text/html": "<!doctype html>"},
            )
        },
    ),
    health.version: Description(answers={"200": json(Version(version=VERSION))}),
    health.healthz: Description(
        text="Says nothing of the servers behind it.", answers={"200": json(Health(status="ok"))}
    ),
    health.readyz: Description(
        text="Calls are accepted as long as Postgres answers. Without Redis only async ones are.",
        answers={"200": json(Readiness(status="ready", servers={"postgres": "ok", "redis": "ok"}))},
        errors=(Failure(503, "not_ready", "Not ready: postgres: Datastore is unavailable"),),
    ),
    health.metrics: Description(
        answers={"200": Content(text="The text exposition.", examples={TEXT: EXPOSITION})}
    ),
}
