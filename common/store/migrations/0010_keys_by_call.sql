-- Who purges a call forgets its key with it, and finds it by the call.
CREATE INDEX idempotency_keys_by_call ON idempotency_keys (call_id);
