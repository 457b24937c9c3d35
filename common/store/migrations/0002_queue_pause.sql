-- Queues that hand out nothing. Redis has a mark of its own, which it may lose; this is the record.
CREATE TABLE paused_queues (
    queue_name text COLLATE "C" PRIMARY KEY,
    paused_at timestamptz NOT NULL DEFAULT now()
);

-- Maintenance looks every few seconds for waiting calls that are too large for every worker: mostly there are none, and
-- it must not read all that wait to see that.
CREATE INDEX calls_waiting_by_memory ON calls (memory_mb) WHERE status IN ('delayed', 'queued');
