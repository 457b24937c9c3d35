-- Calls that have not ended, as the reconciler sees them: what belongs in the queue, and how far it has looked.

-- name: largest_token
SELECT coalesce(max(token), 0) AS token FROM calls WHERE status IN ('delayed', 'queued', 'running')

-- name: unfinished
SELECT
    id,
    order_no,
    priority,
    CASE status
        WHEN 'delayed' THEN greatest(0, ceil(extract(epoch FROM due_at - clock_timestamp()) * 1000))::bigint
        ELSE 0
    END AS delay_ms,
    memory_mb
FROM calls
WHERE status IN ('delayed', 'queued', 'running')
    AND -priority = -$1::smallint
    AND order_no > $2::bigint
    AND (
        status <> 'running'
        OR NOT EXISTS (
            SELECT FROM workers
            WHERE workers.incarnation = calls.incarnation AND heartbeat_at > now() - make_interval(secs => $3)
        )
    )
ORDER BY order_no
LIMIT $4

-- name: belonging
SELECT
    id,
    order_no,
    priority,
    CASE status
        WHEN 'delayed' THEN greatest(0, ceil(extract(epoch FROM due_at - clock_timestamp()) * 1000))::bigint
        ELSE 0
    END AS delay_ms,
    memory_mb
FROM calls
WHERE id = ANY ($1::uuid[])
    AND status IN ('delayed', 'queued', 'running')
    AND (
        status <> 'running'
        OR NOT EXISTS (
            SELECT FROM workers
            WHERE workers.incarnation = calls.incarnation AND heartbeat_at > now() - make_interval(secs => $2)
        )
    )
ORDER BY -priority, order_no

-- name: unleased
-- Found first, then put in order: a plan that walks the queue's order to find these few would read all that wait.
WITH found AS MATERIALIZED (
    SELECT id
    FROM calls
    WHERE status = 'running'
        AND NOT EXISTS (
            SELECT FROM workers
            WHERE workers.incarnation = calls.incarnation AND heartbeat_at > now() - make_interval(secs => $2)
        )
    UNION ALL
    SELECT id FROM calls WHERE id = ANY ($1::uuid[]) AND status IN ('delayed', 'queued')
)
SELECT
    id,
    order_no,
    priority,
    CASE status
        WHEN 'delayed' THEN greatest(0, ceil(extract(epoch FROM due_at - clock_timestamp()) * 1000))::bigint
        ELSE 0
    END AS delay_ms,
    memory_mb
FROM found
JOIN calls USING (id)
WHERE (-priority, order_no) > (-$3::smallint, $4::bigint)
ORDER BY -priority, order_no
LIMIT $5

-- name: running
SELECT id FROM calls WHERE status = 'running' LIMIT $1

-- name: still_running
SELECT id FROM calls WHERE id = ANY ($1::uuid[]) AND status = 'running'

-- name: count_waiting
SELECT count(*) FROM calls WHERE status IN ('delayed', 'queued')

-- name: last_order_no
SELECT CASE WHEN is_called THEN last_value ELSE 0 END AS order_no FROM calls_order_no_seq

-- name: writers_of_calls
-- Transactions that may have drawn an order_no: they lock the table before they do, until they end.
SELECT DISTINCT virtualtransaction
FROM pg_locks
WHERE locktype = 'relation'
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND relation = 'calls'::regclass
    AND mode = 'RowExclusiveLock'
    AND granted
