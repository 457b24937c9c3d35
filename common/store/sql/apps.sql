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

-- name: lock_calls_of_app
-- The ids of those that had not ended. A statement of its own: only the next one sees what a settle left that had to
-- be waited for here.
WITH locked AS (
    SELECT id, status FROM calls WHERE app_name = $1 ORDER BY id FOR UPDATE
)
SELECT id FROM locked WHERE status IN ('delayed', 'queued', 'running')

-- name: remove_calls_of_app
-- With all that belongs to them. A run under way owns nothing any more.
WITH removed AS (
    DELETE FROM calls WHERE app_name = $1 RETURNING id
), inputs AS (
    DELETE FROM call_inputs USING removed WHERE call_id = removed.id
), results AS (
    DELETE FROM call_results USING removed WHERE call_id = removed.id
), keys AS (
    DELETE FROM idempotency_keys WHERE app_name = $1
)
DELETE FROM call_logs USING removed WHERE call_id = removed.id
