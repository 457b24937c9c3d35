-- What is old goes, a bounded number at a time, the oldest first. Calls that have not ended are never looked at.

-- name: prune_calls
-- Locked by id; one that another transaction has locked is passed over.
WITH old AS MATERIALIZED (
    SELECT id
    FROM calls
    WHERE status IN ('success', 'error', 'cancelled') AND completed_at < now() - make_interval(secs => $1)
    ORDER BY completed_at
    LIMIT $2
), locked AS (
    SELECT calls.id FROM calls JOIN old USING (id) ORDER BY calls.id FOR UPDATE OF calls SKIP LOCKED
), inputs AS (
    DELETE FROM call_inputs USING locked WHERE call_id = locked.id
), results AS (
    DELETE FROM call_results USING locked WHERE call_id = locked.id
), logs AS (
    DELETE FROM call_logs USING locked WHERE call_id = locked.id
), pruned AS (
    DELETE FROM calls USING locked WHERE calls.id = locked.id RETURNING calls.id
)
SELECT count(*) FROM pruned

-- name: prune_results
-- What is deleted does not count as stored any more.
WITH old AS MATERIALIZED (
    SELECT id, completed_at
    FROM calls
    WHERE status IN ('success', 'error', 'cancelled')
        AND completed_at > $2 AND completed_at < now() - make_interval(secs => $1)
    ORDER BY completed_at
    FETCH FIRST $3 ROWS WITH TIES
), locked AS (
    SELECT calls.id
    FROM calls JOIN old USING (id) JOIN call_results ON call_id = calls.id
    ORDER BY calls.id
    FOR UPDATE OF calls
), pruned AS (
    DELETE FROM call_results USING locked WHERE call_id = locked.id RETURNING call_id, octet_length(body) + pg_column_size(headers) AS freed_bytes
), freed AS (
    UPDATE calls SET stored_bytes = greatest(stored_bytes - freed_bytes, 0) FROM pruned WHERE id = call_id
)
SELECT (SELECT count(*) FROM pruned) AS count, max(completed_at) AS ended_to FROM old

-- name: prune_logs
-- As prune_results.
WITH old AS MATERIALIZED (
    SELECT id, completed_at
    FROM calls
    WHERE status IN ('success', 'error', 'cancelled')
        AND completed_at > $2 AND completed_at < now() - make_interval(secs => $1)
    ORDER BY completed_at
    FETCH FIRST $3 ROWS WITH TIES
), locked AS (
    SELECT calls.id
    FROM calls JOIN old USING (id) JOIN call_logs ON call_id = calls.id
    ORDER BY calls.id
    FOR UPDATE OF calls
), pruned AS (
    DELETE FROM call_logs USING locked WHERE call_id = locked.id RETURNING call_id, octet_length(log) AS freed_bytes
), freed AS (
    UPDATE calls SET stored_bytes = greatest(stored_bytes - freed_bytes, 0) FROM pruned WHERE id = call_id
)
SELECT (SELECT count(*) FROM pruned) AS count, max(completed_at) AS ended_to FROM old

-- name: retire_revisions
-- Those that no new call should need: of a route that is gone, or of one that has a later revision. Should one need it
-- all the same, since a route became again what it was, storing that call takes this back.
WITH found AS (
    SELECT id
    FROM route_revisions AS old
    WHERE retired_at IS NULL
        AND stored_at < now() - make_interval(secs => $1)
        AND (
            EXISTS (
                SELECT FROM route_revisions AS later
                WHERE later.of_app = old.of_app AND later.of_path = old.of_path AND later.stored_at > old.stored_at
            )
            OR NOT EXISTS (SELECT FROM routes WHERE routes.app_name = old.of_app AND routes.path = old.of_path)
        )
    ORDER BY stored_at
    LIMIT $2
    FOR UPDATE SKIP LOCKED
), updated AS (
    UPDATE route_revisions SET retired_at = now() FROM found WHERE route_revisions.id = found.id RETURNING 1
)
SELECT count(*) FROM updated

-- name: find_unused_revisions
-- Reads every call, once, unless nothing was retired long enough ago: so long that each call which was being stored then
-- is seen here.
SELECT id
FROM route_revisions
WHERE retired_at < now() - make_interval(secs => $1)
    AND NOT EXISTS (SELECT FROM calls WHERE calls.route_revision = route_revisions.id)
LIMIT $2

-- name: remove_revisions
-- What was retired is looked at again once it is locked: a call that was stored meanwhile has taken that back.
WITH removed AS (
    DELETE FROM route_revisions
    WHERE id = ANY ($2::bytea[]) AND retired_at < now() - make_interval(secs => $1)
    RETURNING 1
)
SELECT count(*) FROM removed
