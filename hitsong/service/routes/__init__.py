"""The routes of the API, by subject: each module has a `router`."""
