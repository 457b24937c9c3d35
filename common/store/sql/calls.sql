-- Calls as clients see them: stored, listed, compared and set.

-- name: insert_calls
-- One statement, so all or none. The places of the queue follow the list: the identity is drawn in the order of ord.
-- Whoever removes one of the apps waits for this, or was first: then nothing is stored and no row comes back, at once,
-- whether or not that removal has ended: other apps' calls must not wait for it.
-- Nothing is stored either if one of the revisions $18 is not there. One that was retired counts again: whoever is about to delete it
-- finds that out, or was first.
-- A key waits for whoever is writing the same one, and comes back as it then is: the first writer's, unless that one is
-- too old and so is replaced. A call is stored if it has no key, or if its key now names it. Keys are locked in order.
WITH given AS (
    SELECT *
    FROM unnest(
        $1::uuid[], $2::text[], $3::text[], $4::text[], $5::smallint[], $6::integer[], $7::integer[], $8::bytea[],
        $9::timestamptz[], $10::text[], $11::text[], $12::jsonb[], $13::bytea[],
        $14::integer[], $15::text[], $16::bytea[]
    ) WITH ORDINALITY AS given (
        id, app_name, path, type, priority, delay_s, memory_mb, route_revision,
        created_at, method, url, headers, payload,
        timeout_s, key, request_hash, ord
    )
), present AS (
    SELECT name FROM apps WHERE name IN (SELECT app_name FROM given) ORDER BY name FOR KEY SHARE SKIP LOCKED
), retired AS (
    SELECT id
    FROM route_revisions
    WHERE id = ANY ($18::bytea[]) AND retired_at IS NOT NULL
    ORDER BY id
    FOR UPDATE
), revived AS (
    UPDATE route_revisions SET retired_at = NULL, stored_at = now()
    FROM retired
    WHERE route_revisions.id = retired.id
    RETURNING retired.id
), usable AS (
    SELECT id FROM route_revisions WHERE id = ANY ($18) AND retired_at IS NULL
    UNION
    SELECT id FROM revived
), accepted AS (
    SELECT *
    FROM given
    WHERE (SELECT count(*) FROM present) = (SELECT count(DISTINCT app_name) FROM given)
        AND (SELECT count(*) FROM usable) = cardinality($18)
), keys AS (
    INSERT INTO idempotency_keys AS kept (app_name, key, request_hash, call_id)
    SELECT DISTINCT ON (app_name, key) app_name, key, request_hash, id
    FROM accepted
    WHERE key IS NOT NULL
    ORDER BY app_name, key, ord
    ON CONFLICT (app_name, key) DO UPDATE SET
        request_hash = CASE
            WHEN kept.created_at > now() - make_interval(secs => $17) THEN kept.request_hash
            ELSE excluded.request_hash
        END,
        call_id = CASE
            WHEN kept.created_at > now() - make_interval(secs => $17) THEN kept.call_id
            ELSE excluded.call_id
        END,
        created_at = CASE
            WHEN kept.created_at > now() - make_interval(secs => $17) THEN kept.created_at
            ELSE excluded.created_at
        END
    RETURNING app_name, key, request_hash, call_id
), stored AS (
    INSERT INTO calls (
        id, app_name, path, type, priority, delay_s, memory_mb, route_revision, created_at, timeout_s, status, due_at,
        stored_bytes
    )
    SELECT
        id, app_name, path, type, priority, delay_s, memory_mb, route_revision, coalesce(created_at, now()), timeout_s,
        CASE WHEN delay_s > 0 THEN 'delayed' ELSE 'queued' END,
        CASE WHEN delay_s > 0 THEN now() + make_interval(secs => delay_s) END,
        512 + octet_length(url) + pg_column_size(headers) + octet_length(payload)
    FROM accepted
    WHERE key IS NULL OR id IN (SELECT call_id FROM keys)
    ORDER BY ord
    RETURNING id, order_no, priority, delay_s, memory_mb
), inputs AS (
    INSERT INTO call_inputs (call_id, method, url, headers, payload)
    SELECT id, method, url, headers, payload
    FROM accepted
    WHERE key IS NULL OR id IN (SELECT call_id FROM keys)
)
SELECT
    id, order_no, priority, delay_s::bigint * 1000 AS delay_ms, memory_mb,
    NULL AS app_name, NULL AS key, NULL AS request_hash
FROM stored
UNION ALL
SELECT call_id, NULL, NULL, NULL, NULL, app_name, key, request_hash FROM keys

-- name: missing_revisions
SELECT given.id
FROM unnest($1::bytea[]) AS given (id)
WHERE NOT EXISTS (SELECT FROM route_revisions WHERE route_revisions.id = given.id)

-- name: count_apps
SELECT count(*) FROM apps WHERE name = ANY ($1::text[])

-- name: prune_idempotency_keys
-- A key that somebody is replacing right now is passed over: it is not old any more.
WITH old AS MATERIALIZED (
    SELECT app_name, key
    FROM idempotency_keys
    WHERE created_at <= now() - make_interval(secs => $1)
    ORDER BY created_at
    LIMIT $2
    FOR UPDATE SKIP LOCKED
), pruned AS (
    DELETE FROM idempotency_keys USING old
    WHERE idempotency_keys.app_name = old.app_name AND idempotency_keys.key = old.key
    RETURNING 1
)
SELECT count(*) FROM pruned

-- name: update_call
-- The comparison and the change are one step: whoever comes second compares with what the first wrote.
WITH updated AS (
    UPDATE calls SET
        status = $15,
        reason = $16,
        detail = $17,
        error = $18,
        exit_code = $19,
        created_at = coalesce($20, created_at),
        claimed_at = $21,
        started_at = $22,
        completed_at = $23,
        stats = $24
    WHERE id = $1
        AND app_name = $2
        AND path = $3
        AND attempt = $4
        AND $5 IN (status, visible_status(status, due_at))
        AND reason IS NOT DISTINCT FROM $6
        AND detail = $7
        AND error = $8
        AND exit_code IS NOT DISTINCT FROM $9
        AND created_at = $10
        AND claimed_at IS NOT DISTINCT FROM $11
        AND started_at IS NOT DISTINCT FROM $12
        AND completed_at IS NOT DISTINCT FROM $13
        AND stats = $14
    RETURNING id
)
SELECT
    EXISTS (SELECT FROM updated) AS updated,
    EXISTS (SELECT FROM calls WHERE id = $1 AND app_name = $2) AS found

-- name: get_call
SELECT * FROM visible_calls WHERE id = $2 AND app_name = $1

-- name: get_calls_by_id
SELECT * FROM visible_calls WHERE id = ANY ($1::uuid[])

-- name: get_calls
-- In this list and the next three the ids bound what is read, also of times; created_at says which of these belong.
SELECT *
FROM visible_calls
WHERE ($6 = '' OR path = $6)
    AND (cardinality($7::text[]) = 0 OR status = ANY ($7))
    AND id >= $1 AND id < $2
    AND created_at > coalesce($3::timestamptz, '-infinity')
    AND created_at < coalesce($4::timestamptz, 'infinity')
ORDER BY id DESC
LIMIT $5

-- name: get_calls_by_app
SELECT *
FROM visible_calls
WHERE app_name = $6
    AND id >= $1 AND id < $2
    AND created_at > coalesce($3::timestamptz, '-infinity')
    AND created_at < coalesce($4::timestamptz, 'infinity')
ORDER BY id DESC
LIMIT $5

-- name: get_calls_by_path
SELECT *
FROM visible_calls
WHERE app_name = $6 AND path = $7
    AND id >= $1 AND id < $2
    AND created_at > coalesce($3::timestamptz, '-infinity')
    AND created_at < coalesce($4::timestamptz, 'infinity')
ORDER BY id DESC
LIMIT $5

-- name: get_calls_by_status
-- Of each stored status one page, in the order of its index, and of those the first page: so it sorts some pages, never
-- the list.
WITH found AS (
    SELECT one.id
    FROM unnest($9::text[]) AS stored (status)
    CROSS JOIN LATERAL (
        SELECT id
        FROM calls
        WHERE app_name = $6
            AND calls.status = stored.status
            AND visible_status(calls.status, due_at) = ANY ($8::text[])
            AND ($7 = '' OR path = $7)
            AND id >= $1 AND id < $2
            AND created_at > coalesce($3::timestamptz, '-infinity')
            AND created_at < coalesce($4::timestamptz, 'infinity')
        ORDER BY id DESC
        LIMIT $5
    ) AS one
    ORDER BY one.id DESC
    LIMIT $5
)
SELECT visible_calls.* FROM found JOIN visible_calls USING (id) ORDER BY id DESC

-- name: count_calls
-- Reads every call, once: its callers ask seldom. The sums are over all paths, also those beyond the limit.
WITH counted AS (
    SELECT
        app_name,
        path,
        count(*) FILTER (WHERE status IN ('delayed', 'queued')) AS queued,
        count(*) FILTER (WHERE status = 'running') AS running,
        count(*) FILTER (WHERE status = 'success') AS succeeded,
        count(*) FILTER (WHERE status = 'error') AS failed,
        count(*) FILTER (WHERE status = 'cancelled') AS cancelled
    FROM calls
    GROUP BY app_name, path
)
SELECT
    app_name, path, queued, running, succeeded, failed, cancelled,
    (sum(queued) OVER ())::bigint AS all_queued,
    (sum(running) OVER ())::bigint AS all_running,
    (sum(succeeded) OVER ())::bigint AS all_succeeded,
    (sum(failed) OVER ())::bigint AS all_failed,
    (sum(cancelled) OVER ())::bigint AS all_cancelled
FROM counted
ORDER BY app_name, path
LIMIT $1

-- name: count_unfinished
-- Of one app, and of each status by its index; no more than the limit of each.
SELECT count(*)
FROM (
    (SELECT FROM calls WHERE app_name = $1 AND status = 'queued' ORDER BY id LIMIT $2)
    UNION ALL
    (SELECT FROM calls WHERE app_name = $1 AND status = 'delayed' ORDER BY id LIMIT $2)
    UNION ALL
    (SELECT FROM calls WHERE app_name = $1 AND status = 'running' ORDER BY id LIMIT $2)
) AS unfinished

-- name: sum_stored_bytes
-- Reads every call of the app.
SELECT coalesce(sum(stored_bytes), 0)::bigint FROM calls WHERE app_name = $1

-- name: get_payload
SELECT payload FROM call_inputs WHERE call_id = $1

-- name: get_result
SELECT call_results.status, headers, body, coalesce(content ->> 'format', '') AS format
FROM call_results
JOIN calls ON calls.id = call_results.call_id
LEFT JOIN route_revisions ON route_revisions.id = calls.route_revision
WHERE calls.id = $2 AND calls.app_name = $1

-- name: insert_log
INSERT INTO call_logs (call_id, app_name, log) VALUES ($2, $1, $3)
ON CONFLICT (call_id) DO UPDATE SET app_name = excluded.app_name, log = excluded.log, marks = '[]'

-- name: get_log
SELECT log FROM call_logs WHERE call_id = $2 AND app_name = $1

-- name: get_log_part
-- Status and log at one instant: the end of a call writes both together.
SELECT
    calls.status IN ('success', 'error', 'cancelled') AS is_final,
    (marks -> 0 ->> 1)::bigint AS begun_at_ms,
    coalesce(substring(log FROM $3 + 1 FOR $4), '') AS chunk
FROM calls
LEFT JOIN call_logs ON call_logs.call_id = calls.id
WHERE calls.id = $2 AND calls.app_name = $1

-- name: get_log_marks
SELECT marks FROM call_logs WHERE call_id = $2 AND app_name = $1
