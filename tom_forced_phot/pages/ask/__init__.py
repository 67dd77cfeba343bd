"""Asking for forced photometry."""
