"""The list of cadences."""
