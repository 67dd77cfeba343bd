"""Observation templates: list, edit, apply."""
