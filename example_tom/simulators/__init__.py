"""Stand-ins for the servers this TOM talks to: standard library only, real HTTP, no code shared with the clients."""
