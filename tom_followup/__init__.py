"""What both apps stand on and neither owns: units and time scales. A library, not a Django app; it imports no Django."""
