-- What maintenance does by turns, one process at a time: when the next turn is due, and what one leaves to the next.
CREATE TABLE turns (
    name text COLLATE "C" PRIMARY KEY,
    next_at timestamptz NOT NULL,
    memory jsonb NOT NULL
);

-- Every few seconds maintenance looks for running calls that no live worker has, and must not read all that wait for that.
CREATE INDEX calls_running ON calls (incarnation) WHERE status = 'running';

-- Calls that have ended are deleted by age, the oldest first.
CREATE INDEX calls_by_end ON calls (completed_at) WHERE status IN ('success', 'error', 'cancelled');
