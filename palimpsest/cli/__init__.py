"""The command line. It says the same words as the API, on the API."""
