-- The database's own record of what happens to calls, for the history checker: every change, by whomever, in its order.
CREATE SCHEMA chaos;

CREATE TABLE chaos.changes (
    place bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    call_id uuid NOT NULL,
    old_status text,
    status text NOT NULL,
    attempt integer NOT NULL,
    token bigint,
    incarnation uuid
);

CREATE FUNCTION chaos.record() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO chaos.changes (call_id, status, attempt, token, incarnation)
        VALUES (NEW.id, NEW.status, NEW.attempt, NEW.token, NEW.incarnation);
    ELSIF (OLD.status, OLD.attempt, OLD.token) IS DISTINCT FROM (NEW.status, NEW.attempt, NEW.token) THEN
        INSERT INTO chaos.changes (call_id, old_status, status, attempt, token, incarnation)
        VALUES (NEW.id, OLD.status, NEW.status, NEW.attempt, NEW.token, NEW.incarnation);
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER chaos_changes AFTER INSERT OR UPDATE ON calls FOR EACH ROW EXECUTE FUNCTION chaos.record();
