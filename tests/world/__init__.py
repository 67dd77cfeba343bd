"""A deterministic world: one seed, one month of a TOM, one history, replayed to the letter."""
