-- What a route says of its failed calls: which are tried again and how ({}: none), and after how long none is started.
ALTER TABLE routes
    ADD COLUMN retry jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN max_age integer NOT NULL DEFAULT 0 CHECK (max_age >= 0);
