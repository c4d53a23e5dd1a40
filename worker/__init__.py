"""The process that runs workflows, activities and the outbox relay."""
