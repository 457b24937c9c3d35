-- What a route's containers reach: empty stands for the operator's default. What a worker's containers reach, and why the
-- machine is open to them if it is.

ALTER TABLE routes
    ADD COLUMN network text NOT NULL DEFAULT '' CHECK (network IN ('', 'none', 'internet'));

ALTER TABLE workers
    ADD COLUMN network text NOT NULL DEFAULT '',
    ADD COLUMN network_problem text NOT NULL DEFAULT '';
