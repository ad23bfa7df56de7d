-- Who may do what: security roles, teams, and the one predicate that API, filters and engine ask.

UPDATE schema_state SET version = greatest(version, 6);
