"""What photometry is: magnitudes, dates, states. Imports without Django."""
