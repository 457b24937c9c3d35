"""Formats: how a call is handed to a container and how its answer comes back. One module per format.

``COLD`` and ``HOT`` have them by the names that routes use.
"""

from common.models import FORMAT_DEFAULT, FORMAT_HTTP, FORMAT_JSON
from worker.formats.base import ColdFormat, HotFormat
from worker.formats.default import DefaultFormat
from worker.formats.http import HTTPFormat
from worker.formats.json import JSONFormat

COLD: dict[str, ColdFormat] = {FORMAT_DEFAULT: DefaultFormat()}
HOT: dict[str, HotFormat] = {FORMAT_HTTP: HTTPFormat(), FORMAT_JSON: JSONFormat()}
