"""Commands that measure: load tests, and the search for the best configuration."""
