-- compatible since: 0012
-- Workers of one machine share its memory. machine: its boot id; empty: an earlier version's worker, which shares nothing.
-- machine_mb: what functions may use of it, as that worker found it. memory_mb is what a worker may use.

ALTER TABLE workers
    ADD COLUMN machine text NOT NULL DEFAULT '',
    ADD COLUMN machine_mb integer NOT NULL DEFAULT 0,
    ADD COLUMN shares_memory boolean NOT NULL DEFAULT false,
    ADD COLUMN memory_problem text NOT NULL DEFAULT '';
