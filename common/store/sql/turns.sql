-- Turns: what one process at a time does, and what it leaves to the next.

-- name: limit_idle
-- For this transaction: Postgres ends it when its client says nothing for so long, and with it what it has locked.
SELECT set_config('idle_in_transaction_session_timeout', $1, true)

-- name: try_turn
-- Until the transaction ends. Two numbers, so that it can't be the lock of the migrations.
SELECT pg_try_advisory_xact_lock(hashtext('millrace turn'), hashtext($1)) AS is_mine

-- name: get_turn
SELECT
    extract(epoch FROM clock.now)::float8 AS now_s,
    coalesce(extract(epoch FROM next_at - clock.now), 0)::float8 AS due_in_s,
    coalesce(memory, '{}') AS memory
FROM (SELECT clock_timestamp() AS now) AS clock
LEFT JOIN turns ON name = $1

-- name: end_turn
INSERT INTO turns (name, next_at, memory) VALUES ($1, clock_timestamp() + make_interval(secs => $2), $3)
ON CONFLICT (name) DO UPDATE SET next_at = excluded.next_at, memory = excluded.memory
