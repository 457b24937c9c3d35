-- What is stored of a call: 512 bytes for its record, its input, and from its end on its result and log. So what an app
-- has stored is a sum over its calls, which no crash can falsify. Calls that an earlier version stored count nothing.
ALTER TABLE calls ADD COLUMN stored_bytes bigint NOT NULL DEFAULT 0;
