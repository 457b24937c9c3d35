-- Workers that end show it while they finish what runs.
ALTER TABLE workers ADD COLUMN is_draining boolean NOT NULL DEFAULT false;
