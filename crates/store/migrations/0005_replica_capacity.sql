-- How much the running can do at a time, so that a lack of it can be foreseen.

ALTER TABLE replicas ADD COLUMN capacity integer NOT NULL DEFAULT 0 CHECK (capacity >= 0);
COMMENT ON COLUMN replicas.capacity IS
    'Runs at one time; 0 where that is not known: the role has none, or the replica is of an older version.';

UPDATE schema_state SET version = greatest(version, 5);
