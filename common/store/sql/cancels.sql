-- Calls whose end was asked for. What waits ends at once; what runs is told by the queue, and ends when its worker says so.

-- name: cancel
-- One row, so that whoever comes second, a claim or another cancel, sees what the first left.
UPDATE calls SET
    status = CASE status WHEN 'running' THEN 'running' ELSE 'cancelled' END,
    reason = CASE status WHEN 'running' THEN reason ELSE 'client_request' END,
    completed_at = CASE status WHEN 'running' THEN completed_at ELSE clock_timestamp() END,
    cancel_requested_at = coalesce(cancel_requested_at, clock_timestamp())
WHERE id = $2 AND app_name = $1 AND status IN ('delayed', 'queued', 'running')
RETURNING *

-- name: cancel_requested
SELECT calls.id
FROM calls
JOIN unnest($1::uuid[], $2::bigint[]) AS request (id, token) USING (id, token)
WHERE cancel_requested_at IS NOT NULL

-- name: settle_cancelled
-- App by app, because an index leads to what runs in one: past all that waits, and all that has ended.
WITH found AS MATERIALIZED (
    SELECT running.id
    FROM apps
    CROSS JOIN LATERAL (
        SELECT id, incarnation, cancel_requested_at
        FROM calls
        WHERE calls.app_name = apps.name AND status = 'running'
        ORDER BY id
        OFFSET 0
    ) AS running
    WHERE cancel_requested_at IS NOT NULL
        AND NOT EXISTS (
            SELECT FROM workers
            WHERE workers.incarnation = running.incarnation
                AND heartbeat_at > now() - make_interval(secs => $1)
        )
    LIMIT $2
), locked AS (
    SELECT calls.id, calls.status
    FROM calls
    JOIN found ON found.id = calls.id
    ORDER BY calls.id
    FOR UPDATE OF calls
)
UPDATE calls SET status = 'cancelled', reason = 'client_request', completed_at = clock_timestamp()
FROM locked
WHERE calls.id = locked.id AND locked.status = 'running'
RETURNING calls.id
