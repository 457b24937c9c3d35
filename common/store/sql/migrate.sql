-- The bookkeeping of migrations. One transaction per migration, one migrator at a time.

-- name: limit_waiting
-- For this transaction: how long it may wait for a lock, and how long a statement may take.
SELECT set_config('lock_timeout', $1, true), set_config('statement_timeout', $2, true)

-- name: lock_schema
-- Until the transaction ends. The number is ours alone: nothing else takes an advisory lock of it.
SELECT pg_advisory_xact_lock(7236832942573301)

-- name: create_schema_migrations
CREATE TABLE IF NOT EXISTS schema_migrations (
    version integer PRIMARY KEY,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)

-- name: get_schema_migrations
SELECT version, name, checksum FROM schema_migrations ORDER BY version

-- name: insert_schema_migration
INSERT INTO schema_migrations (version, name, checksum) VALUES ($1, $2, $3)
