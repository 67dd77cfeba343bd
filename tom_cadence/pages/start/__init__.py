"""Starting cadences."""
