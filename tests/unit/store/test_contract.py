import inspect

from common.store.base import Datastore, LogStore, TokenStore
from common.store.postgres import PostgresStore
from common.store.steering import Steering
from common.store.upkeep import Upkeep

STORE: type[Datastore] = PostgresStore  # for the type checker: every method, with the contract's types
LOG_STORE: type[LogStore] = PostgresStore


def test_every_method_has_the_parameters_of_the_contract() -> None:
    methods = {**vars(LogStore), **vars(TokenStore), **vars(Steering), **vars(Upkeep), **vars(Datastore)}
    for name, method in methods.items():
        if inspect.isfunction(method) and not name.startswith("_"):
            built = getattr(PostgresStore, name)
            assert list(inspect.signature(built).parameters.values()) == list(
                inspect.signature(method).parameters.values()
            ), name
