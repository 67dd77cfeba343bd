"""Services as documentation shows them (docs/add-a-service.md); the tests beside run each of them end to end."""
