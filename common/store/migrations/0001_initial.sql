-- The tables of apps, routes and calls. Names and paths sort by bytes, so that pages are the same whatever the locale.

CREATE TABLE apps (
    name text COLLATE "C" PRIMARY KEY,
    config jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);

CREATE TABLE routes (
    app_name text COLLATE "C" NOT NULL REFERENCES apps (name) ON DELETE CASCADE,
    path text COLLATE "C" NOT NULL,
    image text NOT NULL,
    memory integer NOT NULL,
    type text NOT NULL CHECK (type IN ('sync', 'async')),
    format text NOT NULL CHECK (format IN ('default', 'http', 'json')),
    timeout integer NOT NULL,
    idle_timeout integer NOT NULL,
    headers jsonb NOT NULL,
    config jsonb NOT NULL,
    writable_root boolean NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (app_name, path)
);

-- What a call is fixed to at submit. The id is the hash of the content, so a row is never updated.
CREATE TABLE route_revisions (
    id bytea PRIMARY KEY,
    content jsonb NOT NULL
);

-- No foreign key and no unique index but the id: the table can be partitioned by the time in its UUIDv7.
CREATE TABLE calls (
    id uuid PRIMARY KEY,
    order_no bigint GENERATED ALWAYS AS IDENTITY,
    app_name text COLLATE "C" NOT NULL,
    path text COLLATE "C" NOT NULL,
    type text NOT NULL,
    status text NOT NULL CHECK (status IN ('delayed', 'queued', 'running', 'success', 'error', 'cancelled')),
    reason text,
    detail text NOT NULL DEFAULT '',
    error text NOT NULL DEFAULT '',
    exit_code integer,
    priority smallint NOT NULL CHECK (priority BETWEEN 0 AND 2),
    delay_s integer NOT NULL CHECK (delay_s >= 0),
    memory_mb integer NOT NULL,
    route_revision bytea NOT NULL,
    attempt integer NOT NULL DEFAULT 0,
    token bigint,
    incarnation uuid,
    due_at timestamptz,
    created_at timestamptz NOT NULL,
    claimed_at timestamptz,
    started_at timestamptz,
    completed_at timestamptz,
    cancel_requested_at timestamptz,
    stats jsonb NOT NULL DEFAULT '[]',
    CONSTRAINT calls_delay CHECK (status <> 'delayed' OR due_at IS NOT NULL),
    CONSTRAINT calls_reason CHECK (
        reason IS NULL
        OR (status = 'error' AND reason IN ('timeout', 'killed', 'bad_exit'))
        OR (status = 'cancelled' AND reason = 'client_request')
    )
);

CREATE INDEX calls_by_app ON calls (app_name, id);
CREATE INDEX calls_by_path ON calls (app_name, path, id);
-- In the queue's order. Negated, because only columns that run the same way can be compared as one row, page by page.
CREATE INDEX calls_unfinished ON calls ((-priority), order_no) WHERE status IN ('delayed', 'queued', 'running');

CREATE TABLE call_inputs (
    call_id uuid PRIMARY KEY,
    method text NOT NULL,
    url text NOT NULL,
    headers jsonb NOT NULL,
    payload bytea NOT NULL
);
CREATE TABLE call_results (
    call_id uuid PRIMARY KEY,
    body bytea NOT NULL
);
CREATE TABLE call_logs (
    call_id uuid PRIMARY KEY,
    app_name text COLLATE "C" NOT NULL,
    log bytea NOT NULL
);
-- Payloads and results are often compressed already, and trying to compress them would cost every call; logs gain by it.
ALTER TABLE call_inputs ALTER COLUMN payload SET STORAGE EXTERNAL;
ALTER TABLE call_results ALTER COLUMN body SET STORAGE EXTERNAL;

-- Nobody writes delayed -> queued: a delayed call that is due is a queued one, wherever a status is shown or compared.
CREATE FUNCTION visible_status(status text, due_at timestamptz) RETURNS text
LANGUAGE sql STABLE
RETURN CASE WHEN status = 'delayed' AND due_at <= now() THEN 'queued' ELSE status END;

CREATE VIEW visible_calls AS
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
    stats
FROM calls;

CREATE TABLE workers (
    incarnation uuid PRIMARY KEY,
    host text NOT NULL,
    slots integer NOT NULL,
    memory_mb integer NOT NULL,
    started_at timestamptz NOT NULL,
    heartbeat_at timestamptz NOT NULL
);

-- One row, written by the first who asks for it: a copy made of an unused database is an installation of its own.
CREATE TABLE installation (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    id uuid NOT NULL DEFAULT gen_random_uuid()
);
