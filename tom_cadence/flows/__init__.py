"""One user story a file: start, steer, apply a template, preview, simulate."""
