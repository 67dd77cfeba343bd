"""What this TOM adds to the toolkit: its observatory, its targets and the demo."""
