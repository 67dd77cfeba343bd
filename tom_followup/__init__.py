"""What both apps stand on and neither owns. A library, not a Django app: no models, no templates, no static files."""
