-- Revisions end: with their app, or when no call refers to them and no route would use them next. They hold the config of
-- app and route as it was, and so secrets that were replaced or deleted since.

-- Read out of the content, so that a process of an earlier version, which knows no such columns, writes them as well. Their
-- names are those of no column of calls: earlier versions join the two tables without naming them.
ALTER TABLE route_revisions
    ADD COLUMN of_app text COLLATE "C" GENERATED ALWAYS AS (content #>> '{base_env,FN_APP_NAME}') STORED,
    ADD COLUMN of_path text COLLATE "C" GENERATED ALWAYS AS (content #>> '{base_env,FN_PATH}') STORED,
    ADD COLUMN stored_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN retired_at timestamptz;  -- when it was seen that only earlier calls need it; NULL again once one is stored

DELETE FROM route_revisions WHERE NOT EXISTS (SELECT FROM apps WHERE name = of_app);
ALTER TABLE route_revisions
    ADD CONSTRAINT route_revisions_app FOREIGN KEY (of_app) REFERENCES apps (name) ON DELETE CASCADE;
CREATE INDEX route_revisions_by_path ON route_revisions (of_app, of_path, stored_at);
