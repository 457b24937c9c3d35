-- Sync calls and hot formats: how format json writes its objects, what a hot function answered, and whether a container
-- was started for the call.

ALTER TABLE routes
    ADD COLUMN json_framing text NOT NULL DEFAULT 'universal' CHECK (json_framing IN ('universal', 'line')),
    ADD COLUMN body_encoding text NOT NULL DEFAULT 'text' CHECK (body_encoding IN ('text', 'base64'));

ALTER TABLE call_results
    ADD COLUMN status smallint NOT NULL DEFAULT 200,
    ADD COLUMN headers jsonb NOT NULL DEFAULT '{}';

ALTER TABLE calls ADD COLUMN cold boolean;

-- When which part of a log came: [[its first byte, Unix ms], …].
ALTER TABLE call_logs ADD COLUMN marks jsonb NOT NULL DEFAULT '[]';

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
    cold
FROM calls;
