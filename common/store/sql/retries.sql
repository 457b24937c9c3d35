-- Calls that come from other calls, and the dead ones: given up after too many attempts, and not yet back as another.

-- name: retry
-- New calls with the inputs, the revision and the limits of those that ended, in the order of these. A dead one is none
-- from here on, so that it comes back once, whoever asks. First the apps, then the calls, as their removal locks them.
-- Those of an app that is being removed are left out, so that nobody waits for it.
WITH given AS (
    SELECT * FROM unnest($1::uuid[], $2::uuid[]) AS given (old_id, new_id)
), present AS (
    SELECT name
    FROM apps
    WHERE name IN (SELECT app_name FROM calls WHERE id IN (SELECT old_id FROM given))
    ORDER BY name
    FOR KEY SHARE SKIP LOCKED
), locked AS (
    SELECT calls.*, new_id
    FROM calls
    JOIN given ON old_id = calls.id
    JOIN present ON present.name = calls.app_name
    WHERE status IN ('success', 'error', 'cancelled')
        AND ($3 = '' OR app_name = $3)
        AND (NOT $4 OR (status = 'error' AND detail = 'too_many_attempts' AND requeued_at IS NULL))
        AND EXISTS (SELECT FROM call_inputs WHERE call_id = calls.id)
    ORDER BY calls.id
    FOR UPDATE OF calls
), marked AS (
    UPDATE calls SET requeued_at = clock_timestamp()
    FROM locked
    WHERE calls.id = locked.id
        AND locked.status = 'error' AND locked.detail = 'too_many_attempts' AND locked.requeued_at IS NULL
), stored AS (
    INSERT INTO calls (
        id, parent_id, app_name, path, type, priority, delay_s, memory_mb, route_revision, timeout_s, created_at,
        status, stored_bytes
    )
    SELECT
        new_id, id, app_name, path, type, priority, 0, memory_mb, route_revision, timeout_s, now(),
        'queued', (
            SELECT 512 + octet_length(url) + pg_column_size(headers) + octet_length(payload)
            FROM call_inputs
            WHERE call_id = locked.id
        )
    FROM locked
    ORDER BY id
    RETURNING id, order_no, priority, memory_mb, parent_id
), inputs AS (
    INSERT INTO call_inputs (call_id, method, url, headers, payload)
    SELECT new_id, call_inputs.method, call_inputs.url, call_inputs.headers, call_inputs.payload
    FROM locked
    JOIN call_inputs ON call_id = locked.id
)
SELECT id, order_no, priority, 0::bigint AS delay_ms, memory_mb, parent_id FROM stored ORDER BY order_no

-- name: has_input
SELECT EXISTS (SELECT FROM call_inputs WHERE call_id = $1)

-- name: get_dead
SELECT *
FROM calls
WHERE status = 'error' AND detail = 'too_many_attempts' AND requeued_at IS NULL
    AND ($1 = '' OR app_name = $1)
    AND id < $2
ORDER BY id DESC
LIMIT $3

-- name: count_dead
SELECT count(*) FROM calls WHERE status = 'error' AND detail = 'too_many_attempts' AND requeued_at IS NULL

-- name: find_dead
SELECT
    id,
    coalesce(octet_length(payload), 0) + coalesce(octet_length(body), 0) + coalesce(octet_length(log), 0)
        AS stored_bytes
FROM (
    SELECT id
    FROM calls
    WHERE status = 'error' AND detail = 'too_many_attempts' AND requeued_at IS NULL
        AND ($1 = '' OR app_name = $1)
    ORDER BY id
    LIMIT $2
) AS dead
LEFT JOIN call_inputs ON call_inputs.call_id = id
LEFT JOIN call_results ON call_results.call_id = id
LEFT JOIN call_logs ON call_logs.call_id = id
ORDER BY id

-- name: find_dead_of
SELECT
    id,
    coalesce(octet_length(payload), 0) + coalesce(octet_length(body), 0) + coalesce(octet_length(log), 0)
        AS stored_bytes
FROM calls
LEFT JOIN call_inputs ON call_inputs.call_id = id
LEFT JOIN call_results ON call_results.call_id = id
LEFT JOIN call_logs ON call_logs.call_id = id
WHERE calls.status = 'error' AND detail = 'too_many_attempts' AND requeued_at IS NULL
    AND id = ANY ($1::uuid[])
ORDER BY id

-- name: purge_dead
-- With its key: it would answer for a call that is not there.
WITH locked AS (
    SELECT id
    FROM calls
    WHERE id = ANY ($1::uuid[])
        AND status = 'error' AND detail = 'too_many_attempts' AND requeued_at IS NULL
    ORDER BY id
    FOR UPDATE
), purged AS (
    DELETE FROM calls USING locked WHERE calls.id = locked.id RETURNING calls.id
), inputs AS (
    DELETE FROM call_inputs USING purged WHERE call_id = purged.id
), results AS (
    DELETE FROM call_results USING purged WHERE call_id = purged.id
), logs AS (
    DELETE FROM call_logs USING purged WHERE call_id = purged.id
), keys AS (
    DELETE FROM idempotency_keys USING purged WHERE call_id = purged.id
)
SELECT count(*) AS purged FROM purged
