-- Apps, by name in byte order.

-- name: get_app
SELECT name, config, created_at, updated_at FROM apps WHERE name = $1

-- name: get_apps
SELECT name, config, created_at, updated_at
FROM apps
WHERE name > $1
    AND ($2 = '' OR name = $2)
    AND (cardinality($3::text[]) = 0 OR name = ANY ($3))
ORDER BY name
LIMIT $4

-- name: insert_app
-- No row comes back if the name is taken.
INSERT INTO apps (name, config, created_at, updated_at)
VALUES ($1, $2, coalesce($3, now()), coalesce($4, $3, now()))
ON CONFLICT (name) DO NOTHING
RETURNING name, config, created_at, updated_at

-- name: ensure_app
-- Insert it or lock the one that is there, so that nobody removes it before this transaction ends.
INSERT INTO apps (name, config, created_at, updated_at)
VALUES ($1, $2, coalesce($3, now()), coalesce($4, $3, now()))
ON CONFLICT (name) DO UPDATE SET updated_at = apps.updated_at

-- name: lock_app
SELECT name, config, created_at, updated_at FROM apps WHERE name = $1 FOR NO KEY UPDATE

-- name: update_app
UPDATE apps SET config = $2, updated_at = greatest(clock_timestamp(), updated_at)
WHERE name = $1
RETURNING name, config, created_at, updated_at

-- name: remove_app
-- Its routes go with it.
DELETE FROM apps WHERE name = $1 RETURNING name

-- name: cancel_calls_of_app
-- Waiting calls end here; running ones are asked to, and end by their worker or by the next claim.
WITH locked AS (
    SELECT id, status
    FROM calls
    WHERE app_name = $1 AND status IN ('delayed', 'queued', 'running')
    ORDER BY id
    FOR UPDATE
)
UPDATE calls SET
    status = CASE locked.status WHEN 'running' THEN 'running' ELSE 'cancelled' END,
    reason = CASE locked.status WHEN 'running' THEN NULL ELSE 'client_request' END,
    completed_at = CASE locked.status WHEN 'running' THEN NULL ELSE clock_timestamp() END,
    cancel_requested_at = coalesce(calls.cancel_requested_at, clock_timestamp())
FROM locked
WHERE calls.id = locked.id
