-- Tokens: who may ask.

-- name: get_tokens
SELECT * FROM tokens ORDER BY id

-- name: keep_app
-- Nobody removes it before this transaction ends.
SELECT name FROM apps WHERE name = $1 FOR KEY SHARE

-- name: lock_tokens
-- One change at a time: what is there decides about the next. Readers do not wait.
LOCK TABLE tokens IN SHARE ROW EXCLUSIVE MODE

-- name: count_tokens
SELECT count(*) AS total, count(*) FILTER (WHERE scope = 'admin') AS admins FROM tokens

-- name: insert_token
INSERT INTO tokens (id, name, scope, app_name, hash, created_at)
VALUES ($1, $2, $3, $4, $5, coalesce($6, now()))
RETURNING *

-- name: get_token
SELECT * FROM tokens WHERE id = $1

-- name: remove_token
DELETE FROM tokens WHERE id = $1

-- name: remove_tokens_of_app
DELETE FROM tokens WHERE app_name = $1
