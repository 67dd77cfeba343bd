"""The light curve of a target."""
