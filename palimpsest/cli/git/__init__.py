"""Reading real git repositories into documents, with their branches, and proving that they were read exactly."""
