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
-- No row comes back if the name is taken, or if there are $5 apps.
INSERT INTO apps (name, config, created_at, updated_at)
SELECT $1, $2, coalesce($3, now()), coalesce($4, $3, now())
WHERE (SELECT count(*) FROM apps) < $5
ON CONFLICT (name) DO NOTHING
RETURNING name, config, created_at, updated_at

-- name: ensure_app
-- Insert it or lock the one that is there, so that nobody removes it before this transaction ends. No row comes back if it
-- is not there and there are $5 others.
INSERT INTO apps (name, config, created_at, updated_at)
SELECT $1, $2, coalesce($3, now()), coalesce($4, $3, now())
WHERE (SELECT count(*) FROM apps WHERE name <> $1) < $5 OR EXISTS (SELECT FROM apps WHERE name = $1)
ON CONFLICT (name) DO UPDATE SET updated_at = apps.updated_at
RETURNING name

-- name: lock_app
SELECT name, config, created_at, updated_at FROM apps WHERE name = $1 FOR NO KEY UPDATE

-- name: update_app
UPDATE apps SET config = $2, updated_at = greatest(clock_timestamp(), updated_at)
WHERE name = $1
RETURNING name, config, created_at, updated_at

-- name: remove_app
-- Its routes go with it.
DELETE FROM apps WHERE name = $1 RETURNING name

-- name: lock_page_of_app
-- A page of the calls of the app that was created then, by id, with the status of those that may go: not of one that
-- runs, nor of one that another transaction has locked. No row comes back if that app is gone: by now its name may be
-- another's. The app itself is not locked, so that nobody waits for this. A statement of its own, as the next one.
WITH page AS MATERIALIZED (
    SELECT id FROM calls WHERE app_name = $1 AND id > $3 ORDER BY id LIMIT $4
), locked AS (
    SELECT calls.id, calls.status
    FROM calls
    JOIN page USING (id)
    WHERE status <> 'running'
    ORDER BY calls.id
    FOR UPDATE OF calls SKIP LOCKED
)
SELECT page.id, locked.status
FROM apps
LEFT JOIN page ON true
LEFT JOIN locked ON locked.id = page.id
WHERE apps.name = $1 AND apps.created_at = $2
ORDER BY page.id

-- name: lock_calls_of_app
-- A statement of its own: only the next one sees what a settle left that had to be waited for here.
SELECT id, status FROM calls WHERE app_name = $1 ORDER BY id FOR UPDATE

-- name: remove_calls
-- With all that belongs to them. A run under way owns nothing any more.
WITH removed AS (
    DELETE FROM calls WHERE id = ANY ($1::uuid[]) RETURNING id
), inputs AS (
    DELETE FROM call_inputs USING removed WHERE call_id = removed.id
), results AS (
    DELETE FROM call_results USING removed WHERE call_id = removed.id
)
DELETE FROM call_logs USING removed WHERE call_id = removed.id

-- name: remove_page_of_keys
-- Of a page of the app's keys those whose calls are gone. One whose call is there keeps naming it, should the app stay;
-- so does one that somebody is replacing right now.
WITH page AS MATERIALIZED (
    SELECT key, call_id FROM idempotency_keys WHERE app_name = $1 AND key > $2 ORDER BY key LIMIT $3
), locked AS (
    SELECT kept.key
    FROM idempotency_keys AS kept
    JOIN page ON page.key = kept.key AND page.call_id = kept.call_id
    WHERE kept.app_name = $1 AND NOT EXISTS (SELECT FROM calls WHERE calls.id = kept.call_id)
    FOR UPDATE OF kept SKIP LOCKED
), removed AS (
    DELETE FROM idempotency_keys AS kept USING locked WHERE kept.app_name = $1 AND kept.key = locked.key
)
SELECT count(*) AS count, max(key) AS last FROM page

-- name: remove_keys_of_app
DELETE FROM idempotency_keys WHERE app_name = $1
