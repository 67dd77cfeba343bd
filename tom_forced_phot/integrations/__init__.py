"""What other apps of the TOM add to light curves; each works without them."""
