-- Routes, by app and then by path in byte order; and the revisions that calls are fixed to.

-- name: get_route
SELECT * FROM routes WHERE app_name = $1 AND path = $2

-- name: get_routes_by_app
SELECT *
FROM routes
WHERE app_name = $1 AND path > $2 AND ($3 = '' OR image = $3)
ORDER BY path
LIMIT $4

-- name: insert_route
-- No row comes back if the path is taken.
INSERT INTO routes (
    app_name, path, image, memory, type, format, timeout, idle_timeout, headers, config, writable_root,
    json_framing, body_encoding, public, retry, max_age, network, created_at, updated_at
)
VALUES (
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11,
    $12, $13, $14, $15, $16, $17, coalesce($18, now()), coalesce($19, $18, now())
)
ON CONFLICT (app_name, path) DO NOTHING
RETURNING *

-- name: count_routes
SELECT count(*) FROM routes WHERE app_name = $1

-- name: lock_route
SELECT * FROM routes WHERE app_name = $1 AND path = $2 FOR NO KEY UPDATE

-- name: update_route
UPDATE routes SET
    image = $3,
    memory = $4,
    type = $5,
    format = $6,
    timeout = $7,
    idle_timeout = $8,
    headers = $9,
    config = $10,
    writable_root = $11,
    json_framing = $12,
    body_encoding = $13,
    public = $14,
    retry = $15,
    max_age = $16,
    network = $17,
    updated_at = greatest(clock_timestamp(), updated_at)
WHERE app_name = $1 AND path = $2
RETURNING *

-- name: remove_route
DELETE FROM routes WHERE app_name = $1 AND path = $2 RETURNING path

-- name: insert_revision
-- Nothing is stored if its app is gone or just being removed: nobody waits for that.
INSERT INTO route_revisions (id, content)
SELECT $1, $2
WHERE EXISTS (SELECT FROM apps WHERE name = $2::jsonb #>> '{base_env,FN_APP_NAME}' FOR KEY SHARE SKIP LOCKED)
ON CONFLICT (id) DO NOTHING
