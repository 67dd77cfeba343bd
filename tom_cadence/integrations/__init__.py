"""What other apps of the TOM add to cadences; each works without them."""
