"""The page of one cadence."""
