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
WITH old AS MATERIALIZED (
    SELECT id, completed_at
    FROM calls
    WHERE status IN ('success', 'error', 'cancelled')
        AND completed_at > $2 AND completed_at < now() - make_interval(secs => $1)
    ORDER BY completed_at
    FETCH FIRST $3 ROWS WITH TIES
), pruned AS (
    DELETE FROM call_results USING old WHERE call_id = old.id RETURNING call_id
)
SELECT (SELECT count(*) FROM pruned) AS count, max(completed_at) AS ended_to FROM old

-- name: prune_logs
WITH old AS MATERIALIZED (
    SELECT id, completed_at
    FROM calls
    WHERE status IN ('success', 'error', 'cancelled')
        AND completed_at > $2 AND completed_at < now() - make_interval(secs => $1)
    ORDER BY completed_at
    FETCH FIRST $3 ROWS WITH TIES
), pruned AS (
    DELETE FROM call_logs USING old WHERE call_id = old.id RETURNING call_id
)
SELECT (SELECT count(*) FROM pruned) AS count, max(completed_at) AS ended_to FROM old
