"""The demo: ten virtual nights of a TOM with cadences, with failures, a lost reply and a crash."""
