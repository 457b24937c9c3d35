-- Calls as workers and maintenance see them. Whatever changes many rows locks them by id, so that no two wait in a ring.
-- Rows are compared after they are locked: what another transaction committed meanwhile counts.

-- name: claim
WITH request AS (
    SELECT id, max(token) AS token FROM unnest($1::uuid[], $2::bigint[]) AS request (id, token) GROUP BY id
), locked AS (
    SELECT
        calls.id,
        request.token,
        CASE
            WHEN cancel_requested_at IS NOT NULL THEN 'cancelled'
            WHEN attempt >= greatest($4, (content #>> '{retry,max_attempts}')::integer) THEN 'too_many_attempts'
            WHEN (content ->> 'max_age')::integer > 0
                AND clock_timestamp() > created_at + make_interval(secs => delay_s + (content ->> 'max_age')::integer)
                THEN 'expired'
            ELSE 'running'
        END AS verdict,
        content
    FROM calls
    JOIN request ON request.id = calls.id
    LEFT JOIN route_revisions ON route_revisions.id = calls.route_revision
    WHERE status IN ('delayed', 'queued', 'running') AND coalesce(calls.token, 0) < request.token
    ORDER BY calls.id
    FOR UPDATE OF calls
), claimed AS (
    UPDATE calls SET
        status = CASE WHEN verdict IN ('running', 'cancelled') THEN verdict ELSE 'error' END,
        reason = CASE verdict WHEN 'running' THEN NULL WHEN 'cancelled' THEN 'client_request' ELSE 'killed' END,
        detail = CASE WHEN verdict IN ('running', 'cancelled') THEN '' ELSE verdict END,
        error = CASE verdict
            WHEN 'too_many_attempts' THEN
                format('Given up after %s attempts', attempt) || coalesce('. The last one: ' || nullif(last_error, ''), '')
            WHEN 'expired' THEN format('Not started within %s s', content ->> 'max_age')
            ELSE ''
        END,
        attempt = attempt + CASE verdict WHEN 'running' THEN 1 ELSE 0 END,
        token = locked.token,
        incarnation = $3,
        claimed_at = CASE verdict WHEN 'running' THEN clock_timestamp() ELSE claimed_at END,
        started_at = CASE verdict WHEN 'running' THEN NULL ELSE started_at END,
        completed_at = CASE verdict WHEN 'running' THEN NULL ELSE clock_timestamp() END
    FROM locked
    WHERE calls.id = locked.id
    RETURNING calls.*, content AS revision
)
SELECT
    claimed.*,
    coalesce(method, '') AS method,
    coalesce(url, '') AS url,
    coalesce(headers, '{}') AS headers,
    CASE WHEN status = 'running' AND octet_length(payload) <= $5 THEN payload END AS payload
FROM claimed
LEFT JOIN call_inputs ON call_inputs.call_id = claimed.id

-- name: mark_started
UPDATE calls SET started_at = $3 WHERE id = $1 AND token = $2 AND status = 'running'

-- name: extend_logs
-- The lock keeps others from claiming or ending the call until its log is written.
WITH given AS (
    SELECT *
    FROM unnest($1::uuid[], $2::bigint[], $3::integer[], $4::bytea[], $5::text[]) AS given (id, token, first, chunk, marks)
), held AS (
    SELECT calls.id, calls.app_name, given.first, given.chunk, given.marks
    FROM calls
    JOIN given ON given.id = calls.id AND given.token = calls.token
    WHERE calls.status = 'running'
    ORDER BY calls.id
    FOR SHARE OF calls
)
INSERT INTO call_logs (call_id, app_name, log, marks)
SELECT id, app_name, chunk, marks::jsonb FROM held
ON CONFLICT (call_id) DO UPDATE SET
    log = substring(call_logs.log FOR (SELECT first FROM held WHERE held.id = call_logs.call_id)) || excluded.log,
    marks = excluded.marks
RETURNING call_id AS id

-- name: held
SELECT calls.id
FROM calls
JOIN unnest($1::uuid[], $2::bigint[]) AS request (id, token) USING (id, token)
WHERE status = 'running'

-- name: settle
-- Rows that this token settled before are answered again. One that was released is no longer the token's.
WITH given AS (
    SELECT *
    FROM unnest(
        $1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::integer[],
        $8::timestamptz[], $9::timestamptz[], $10::text[], $11::boolean[], $12::bytea[], $13::text[],
        $14::bytea[], $15::smallint[], $16::jsonb[]
    ) AS given (
        id, token, status, reason, detail, error, exit_code,
        started_at, completed_at, stats, cold, log, log_marks,
        result, response_status, response_headers
    )
), locked AS (
    SELECT calls.id, calls.token, calls.status
    FROM calls
    JOIN given ON given.id = calls.id AND given.token = calls.token
    ORDER BY calls.id
    FOR UPDATE OF calls
), settled AS (
    UPDATE calls SET
        status = given.status,
        reason = given.reason,
        detail = given.detail,
        error = given.error,
        exit_code = given.exit_code,
        started_at = given.started_at,
        completed_at = given.completed_at,
        stats = given.stats::jsonb,
        cold = given.cold,
        stored_bytes = stored_bytes + octet_length(given.log) + octet_length(given.result)
            + pg_column_size(given.response_headers)
    FROM locked
    JOIN given ON given.id = locked.id AND given.token = locked.token
    WHERE calls.id = locked.id AND locked.status = 'running'
    RETURNING calls.id, calls.app_name, given.log, log_marks, given.result, response_status, response_headers
), results AS (
    INSERT INTO call_results (call_id, body, status, headers)
    SELECT id, result, response_status, response_headers FROM settled
    ON CONFLICT (call_id) DO UPDATE SET body = excluded.body, status = excluded.status, headers = excluded.headers
), logs AS (
    INSERT INTO call_logs (call_id, app_name, log, marks)
    SELECT id, app_name, log, log_marks::jsonb FROM settled
    ON CONFLICT (call_id) DO UPDATE SET log = excluded.log, marks = excluded.marks
)
SELECT id FROM locked WHERE status IN ('running', 'success', 'error', 'cancelled')

-- name: record_finished
-- Whoever removes one of the apps waits for this, or was first: then its calls are left out.
WITH given AS (
    SELECT *
    FROM unnest(
        $1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::integer[],
        $7::timestamptz[], $8::timestamptz[], $9::text[], $10::boolean[], $11::bytea[], $12::text[],
        $13::text[], $14::text[], $15::integer[], $16::bytea[], $17::integer[],
        $18::timestamptz[], $19::timestamptz[]
    ) AS given (
        id, status, reason, detail, error, exit_code,
        started_at, completed_at, stats, cold, log, log_marks,
        app_name, path, memory_mb, route_revision, attempt,
        created_at, claimed_at
    )
), present AS (
    SELECT name FROM apps WHERE name IN (SELECT app_name FROM given) ORDER BY name FOR KEY SHARE
), stored AS (
    INSERT INTO calls (
        id, app_name, path, type, status, reason, detail, error, exit_code, priority, delay_s, memory_mb,
        route_revision, attempt, created_at, claimed_at, started_at, completed_at, stats, cold, stored_bytes
    )
    SELECT
        id, app_name, path, 'sync', status, reason, detail, error, exit_code, 0, 0, memory_mb,
        route_revision, attempt, coalesce(created_at, completed_at), claimed_at, started_at, completed_at,
        stats::jsonb, cold, 512 + octet_length(log)
    FROM given
    JOIN present ON present.name = given.app_name
    ORDER BY id
    ON CONFLICT (id) DO NOTHING
    RETURNING id
)
INSERT INTO call_logs (call_id, app_name, log, marks)
SELECT id, app_name, log, log_marks::jsonb
FROM stored
JOIN given USING (id)
ON CONFLICT (call_id) DO NOTHING

-- name: release
-- The token stays, so that older ones remain shut out. One whose end was asked for has it here.
WITH locked AS (
    SELECT calls.id
    FROM calls
    JOIN unnest($1::uuid[], $2::bigint[]) AS request (id, token) USING (id, token)
    WHERE status = 'running'
    ORDER BY calls.id
    FOR UPDATE OF calls
)
UPDATE calls SET
    status = CASE
        WHEN cancel_requested_at IS NOT NULL THEN 'cancelled'
        WHEN $4::integer > 0 THEN 'delayed'
        ELSE 'queued'
    END,
    reason = CASE WHEN cancel_requested_at IS NULL THEN reason ELSE 'client_request' END,
    completed_at = CASE WHEN cancel_requested_at IS NULL THEN completed_at ELSE clock_timestamp() END,
    due_at = CASE WHEN $4 > 0 THEN now() + make_interval(secs => $4 / 1000.0) ELSE due_at END,
    attempt = greatest(attempt - CASE WHEN $3 THEN 1 ELSE 0 END, 0),
    last_detail = coalesce($5, last_detail),
    last_error = coalesce($6, last_error),
    incarnation = NULL,
    claimed_at = NULL,
    started_at = NULL
FROM locked
WHERE calls.id = locked.id

-- name: settle_dead
WITH locked AS (
    SELECT id
    FROM calls
    WHERE id = ANY ($1::uuid[]) AND status IN ('delayed', 'queued', 'running')
    ORDER BY id
    FOR UPDATE
)
UPDATE calls SET
    status = CASE WHEN cancel_requested_at IS NULL THEN 'error' ELSE 'cancelled' END,
    reason = CASE WHEN cancel_requested_at IS NULL THEN 'killed' ELSE 'client_request' END,
    detail = CASE WHEN cancel_requested_at IS NULL THEN 'too_many_attempts' ELSE '' END,
    error = CASE
        WHEN cancel_requested_at IS NULL THEN 'Given up: the workers that took it were lost too often' ELSE ''
    END,
    completed_at = clock_timestamp()
FROM locked
WHERE calls.id = locked.id

-- name: settle_no_capacity
-- A worker that came meanwhile counts; with no live worker at all the largest is unknown, and nothing is too large.
WITH largest AS (
    SELECT greatest(max(memory_mb), $1::integer) AS memory_mb
    FROM workers
    WHERE heartbeat_at > now() - make_interval(secs => $2)
    HAVING count(*) > 0
), found AS MATERIALIZED (
    SELECT id
    FROM calls
    WHERE status IN ('delayed', 'queued')
        AND memory_mb > (SELECT memory_mb FROM largest)
        AND coalesce(due_at, created_at) < now() - make_interval(secs => $3)
    LIMIT $4
), locked AS (
    SELECT calls.id
    FROM calls
    JOIN found ON found.id = calls.id
    WHERE status IN ('delayed', 'queued')
    ORDER BY calls.id
    FOR UPDATE OF calls
)
UPDATE calls SET
    status = 'error',
    reason = 'killed',
    detail = 'no_capacity',
    error = format(
        'No worker has %s MB of memory: the largest has %s MB', calls.memory_mb, (SELECT memory_mb FROM largest)
    ),
    completed_at = clock_timestamp()
FROM locked
WHERE calls.id = locked.id
RETURNING calls.id

-- name: ended
SELECT id
FROM unnest($1::uuid[]) AS asked (id)
WHERE NOT EXISTS (
    SELECT FROM calls WHERE calls.id = asked.id AND status IN ('delayed', 'queued', 'running')
)
