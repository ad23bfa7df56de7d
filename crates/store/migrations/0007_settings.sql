-- Settings of the deployment, in groups, read without a restart.

UPDATE schema_state SET version = greatest(version, 7);
