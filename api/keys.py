"""The typed keys under which app.py keeps the parts that handlers use. Nothing is made here."""

from aiohttp import web

from api.admission import Admission
from api.bodies import BodyBudget
from api.call_counts import CallCounter
from api.connections import Connections
from api.cors import Cors
from api.following import Following
from api.invocation import Submitter
from api.metrics import Metrics
from api.queue_life import QueueLife
from api.quotas import Quotas
from api.rate_limit import RateLimit
from api.reconciler import Reconciler
from api.recorder import Recorder
from api.retries import Retries
from api.route_cache import RouteCache
from api.sync import SyncCalls
from api.tokens import TokenCache
from common.queue.announcer import Announcer
from common.queue.base import MessageQueue
from common.settings import Settings
from common.store.base import Datastore

SETTINGS: web.AppKey[Settings] = web.AppKey("settings")
METRICS: web.AppKey[Metrics] = web.AppKey("metrics")
STORE: web.AppKey[Datastore] = web.AppKey("store")
QUEUE: web.AppKey[MessageQueue] = web.AppKey("queue")
ANNOUNCER: web.AppKey[Announcer] = web.AppKey("announcer")
FOLLOWING: web.AppKey[Following] = web.AppKey("following")
ADMISSION: web.AppKey[Admission] = web.AppKey("admission")
QUOTAS: web.AppKey[Quotas] = web.AppKey("quotas")
LIFE: web.AppKey[QueueLife] = web.AppKey("life")
RECONCILER: web.AppKey[Reconciler] = web.AppKey("reconciler")
CONNECTIONS: web.AppKey[Connections] = web.AppKey("connections")
BODIES: web.AppKey[BodyBudget] = web.AppKey("bodies")
ROUTES: web.AppKey[RouteCache] = web.AppKey("routes")
SUBMITTER: web.AppKey[Submitter] = web.AppKey("submitter")
RECORDER: web.AppKey[Recorder] = web.AppKey("recorder")
RETRIES: web.AppKey[Retries] = web.AppKey("retries")
COUNTER: web.AppKey[CallCounter] = web.AppKey("counter")
SYNC: web.AppKey[SyncCalls] = web.AppKey("sync")
CORS: web.AppKey[Cors] = web.AppKey("cors")
TOKENS: web.AppKey[TokenCache] = web.AppKey("tokens")
RATE_LIMIT: web.AppKey[RateLimit] = web.AppKey("rate_limit")
ANONYMOUS_RATE_LIMIT: web.AppKey[RateLimit] = web.AppKey("anonymous_rate_limit")
