-- Messages that were refused are judged again when the rules that refused them change.

UPDATE schema_state SET version = greatest(version, 9);
