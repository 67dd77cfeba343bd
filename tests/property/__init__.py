"""Random nights: the real runner, database and observatory against invariants counted at the observatory."""
