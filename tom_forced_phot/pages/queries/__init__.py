"""The list of queries, and the page of one."""
