"""Dynamic cadences for a TOM that never book telescope time twice and never stop without saying so."""
