"""Stand-ins of observatories and photometry services over real HTTP, for demo and tests; they share no code with any client."""
