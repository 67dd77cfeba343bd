"""What needs somebody tonight, what comes next and what has arrived."""
