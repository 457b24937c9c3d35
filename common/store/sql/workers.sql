-- Incarnations of workers, and the identity of this database. Heartbeats are told by Postgres's clock alone.

-- name: register_worker
INSERT INTO workers (incarnation, host, slots, memory_mb, network, network_problem, machine, started_at, heartbeat_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, now(), now())
ON CONFLICT (incarnation) DO UPDATE SET
    host = excluded.host,
    slots = excluded.slots,
    memory_mb = excluded.memory_mb,
    network = excluded.network,
    network_problem = excluded.network_problem,
    machine = excluded.machine,
    heartbeat_at = excluded.heartbeat_at

-- name: heartbeat
UPDATE workers SET heartbeat_at = now(), network = $2, network_problem = $3, is_draining = $4
WHERE incarnation = $1
RETURNING incarnation

-- name: lock_machine
-- The live workers of the machine of one; two of them share memory one after the other.
-- Who has nothing yet was only just registered, and will share.
SELECT incarnation, memory_mb, machine_mb, shares_memory OR memory_mb = 0 AS shares_memory, is_draining
FROM workers
WHERE machine = (SELECT machine FROM workers WHERE incarnation = $1)
    AND (incarnation = $1 OR (machine <> '' AND heartbeat_at > now() - make_interval(secs => $2)))
ORDER BY incarnation
FOR UPDATE

-- name: share_memory
UPDATE workers SET memory_mb = $2, machine_mb = $3, shares_memory = $4, memory_problem = $5 WHERE incarnation = $1

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

-- name: get_workers
-- Live ones first, and of both kinds the youngest.
SELECT
    incarnation, host, slots, memory_mb, memory_problem, network, network_problem, started_at, heartbeat_at,
    CASE
        WHEN heartbeat_at <= now() - make_interval(secs => $1) THEN 'lost'
        WHEN heartbeat_at <= now() - make_interval(secs => $2) THEN 'late'
        WHEN is_draining THEN 'draining'
        ELSE 'live'
    END AS state
FROM workers
ORDER BY heartbeat_at > now() - make_interval(secs => $1) DESC, started_at DESC, incarnation
LIMIT $3

-- name: get_running
-- App by app, because an index leads to what runs in one: past all that waits, and all that has ended.
SELECT incarnation, id, app_name, path, attempt, claimed_at, started_at
FROM (
    SELECT running.*, row_number() OVER (PARTITION BY incarnation ORDER BY claimed_at, id) AS number
    FROM apps
    CROSS JOIN LATERAL (
        SELECT id, incarnation, app_name, path, attempt, claimed_at, started_at
        FROM calls
        WHERE calls.app_name = apps.name AND status = 'running'
        ORDER BY id
        OFFSET 0
    ) AS running
    WHERE incarnation = ANY ($1::uuid[])
) AS numbered
WHERE number <= $2
ORDER BY incarnation, number

-- name: live_incarnations
SELECT incarnation FROM workers WHERE heartbeat_at > now() - make_interval(secs => $1)

-- name: largest_worker_mb
SELECT max(memory_mb) AS memory_mb FROM workers WHERE heartbeat_at > now() - make_interval(secs => $1)

-- name: live_slots
SELECT coalesce(sum(slots), 0) FROM workers WHERE heartbeat_at > now() - make_interval(secs => $1)

-- name: installation_id
-- The first caller writes the row; the update changes nothing, but makes it come back also when others are first.
INSERT INTO installation DEFAULT VALUES
ON CONFLICT (only_row) DO UPDATE SET id = installation.id
RETURNING id

-- name: check
SELECT 1
