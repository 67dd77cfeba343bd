"""Forced photometry for a TOM. This release holds only the app itself: no service, no model and no page yet."""
