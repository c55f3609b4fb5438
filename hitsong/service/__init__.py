"""The service: a REST API, and a page, where an artist tries a song."""
