"""What keeps the project's own files right."""
