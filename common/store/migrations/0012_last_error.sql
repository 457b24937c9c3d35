-- compatible since: 0011
-- How the last attempt of a call ended that was given back to be tried again: shown while it waits.
ALTER TABLE calls
    ADD COLUMN last_detail text NOT NULL DEFAULT '',
    ADD COLUMN last_error text NOT NULL DEFAULT '';

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
    parent_id,
    last_detail,
    last_error
FROM calls;
