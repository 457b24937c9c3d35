-- The bookkeeping of migrations. One transaction per migration, one migrator at a time.

-- name: limit_waiting
-- For this transaction: how long it may wait for a lock, and how long a statement may take.
SELECT set_config('lock_timeout', $1, true), set_config('statement_timeout', $2, true)

-- name: lock_schema
-- Until the transaction ends. The number is ours alone: nothing else takes an advisory lock of it.
SELECT pg_advisory_xact_lock(7236832942573301)

-- name: has_schema_migrations
-- Asked first: to create a table needs a right, also where it exists, and who has nothing to migrate needs none.
SELECT to_regclass('schema_migrations') IS NOT NULL

-- name: create_schema_migrations
CREATE TABLE schema_migrations (
    version integer PRIMARY KEY,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    compatible_since integer
)

-- name: complete_schema_migrations
-- The first version's table had no such column.
ALTER TABLE schema_migrations ADD COLUMN IF NOT EXISTS compatible_since integer

-- name: get_schema_migrations
-- The last column may not be there yet.
SELECT
    version, name, checksum,
    coalesce((to_jsonb(schema_migrations) ->> 'compatible_since')::integer, version) AS compatible_since
FROM schema_migrations
ORDER BY version

-- name: insert_schema_migration
INSERT INTO schema_migrations (version, name, checksum, compatible_since) VALUES ($1, $2, $3, $4)
