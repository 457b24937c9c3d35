"""What each handler takes, answers and refuses, for the readers of the api's description. One module per noun.

To describe a new handler: add its Description to the module of its noun, with an example of each answer.
"""

from api.descriptions import (
    apps,
    calls,
    dead,
    docs,
    follow,
    health,
    invoke,
    overview,
    queue,
    routes,
    steering,
    submissions,
    tokens,
)
from api.descriptions.parts import Descriptions

DESCRIPTIONS: Descriptions = {
    **apps.DESCRIPTIONS,
    **routes.DESCRIPTIONS,
    **calls.DESCRIPTIONS,
    **follow.DESCRIPTIONS,
    **submissions.DESCRIPTIONS,
    **invoke.DESCRIPTIONS,
    **steering.DESCRIPTIONS,
    **dead.DESCRIPTIONS,
    **overview.DESCRIPTIONS,
    **tokens.DESCRIPTIONS,
    **queue.DESCRIPTIONS,
    **health.DESCRIPTIONS,
    **docs.DESCRIPTIONS,
}
