"""Commands that measure: load tests, the search for the best configuration, and plans from them."""
