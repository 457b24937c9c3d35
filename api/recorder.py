"""Recorder: counts and writes down the ends that the api itself gave to sync calls. Workers record what they ran."""

from api.metrics import Metrics
from common.models import Call, Outcome
from common.store.base import Datastore
from common.store.finished import FinishedRecorder


class Recorder(FinishedRecorder):
    """See FinishedRecorder."""

    def __init__(self, store: Datastore, metrics: Metrics) -> None:
        super().__init__(store)
        self._metrics = metrics

    def add(self, call: Call, outcome: Outcome) -> None:
        self._metrics.observe_finished(call, outcome)
        super().add(call, outcome)
