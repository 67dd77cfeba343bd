"""Helpers that several tests share: stand-ins of outside services, and the host's web pages as a user works them."""
