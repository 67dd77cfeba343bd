"""What a cadence is and how it is decided: values in, values out. Imports without Django."""
