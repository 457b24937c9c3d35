-- What a modern job API wants: time limits of single calls, calls that come from other calls, idempotency keys, tokens.

ALTER TABLE calls
    ADD COLUMN timeout_s integer CHECK (timeout_s > 0),  -- of this call alone; else its route's
    ADD COLUMN parent_id uuid,                           -- the call that it is a retry or a requeue of
    ADD COLUMN requeued_at timestamptz;                  -- a dead call that came back as another one

CREATE OR REPLACE VIEW visible_calls AS
SELECT
    id,
    app_name,
    path,
    type,
    visible_status(status, due_at) AS status,
    reason,
    detail,
    error,
    exit_code,
    priority,
    delay_s,
    memory_mb,
    route_revision,
    attempt,
    due_at,
    created_at,
    claimed_at,
    started_at,
    completed_at,
    stats,
    cold,
    timeout_s,
    parent_id
FROM calls;

CREATE INDEX calls_by_status ON calls (app_name, status, id);
-- Calls that were given up, for whoever looks after them.
CREATE INDEX calls_dead ON calls (id) WHERE status = 'error' AND detail = 'too_many_attempts' AND requeued_at IS NULL;

-- A client's word for one request, so that asking again is not a second call. Written with the call, forgotten after a day.
CREATE TABLE idempotency_keys (
    app_name text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    request_hash bytea NOT NULL,
    call_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (app_name, key)
);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);

-- Who may ask. A token itself is shown once and kept nowhere: this is its hash.
CREATE TABLE tokens (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    hash bytea NOT NULL UNIQUE,
    scope text NOT NULL CHECK (scope IN ('admin', 'app', 'invoke')),
    app_name text COLLATE "C",
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT tokens_app CHECK ((scope = 'admin') = (app_name IS NULL))
);

-- Whether a route may be called by anybody.
ALTER TABLE routes ADD COLUMN public boolean NOT NULL DEFAULT false;
