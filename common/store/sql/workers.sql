-- Incarnations of workers, and the identity of this database. Heartbeats are told by Postgres's clock alone.

-- name: register_worker
INSERT INTO workers (incarnation, host, slots, memory_mb, started_at, heartbeat_at)
VALUES ($1, $2, $3, $4, now(), now())
ON CONFLICT (incarnation) DO UPDATE SET
    host = excluded.host,
    slots = excluded.slots,
    memory_mb = excluded.memory_mb,
    heartbeat_at = excluded.heartbeat_at

-- name: heartbeat
UPDATE workers SET heartbeat_at = now() WHERE incarnation = $1

-- name: remove_worker
DELETE FROM workers WHERE incarnation = $1

-- name: prune_workers
-- One that a running call still names stays: whoever looks at that call can see who had it.
WITH stale AS (
    SELECT incarnation
    FROM workers
    WHERE heartbeat_at < now() - interval '1 day'
        AND NOT EXISTS (
            SELECT FROM calls WHERE calls.incarnation = workers.incarnation AND status = 'running'
        )
    ORDER BY incarnation
    FOR UPDATE SKIP LOCKED
)
DELETE FROM workers USING stale WHERE workers.incarnation = stale.incarnation

-- name: live_incarnations
SELECT incarnation FROM workers WHERE heartbeat_at > now() - make_interval(secs => $1)

-- name: largest_worker_mb
SELECT max(memory_mb) AS memory_mb FROM workers WHERE heartbeat_at > now() - make_interval(secs => $1)

-- name: installation_id
-- The first caller writes the row; the update changes nothing, but makes it come back also when others are first.
INSERT INTO installation DEFAULT VALUES
ON CONFLICT (only_row) DO UPDATE SET id = installation.id
RETURNING id

-- name: check
SELECT 1
