"""Reading real git repositories into documents, and proving that they were read exactly."""
