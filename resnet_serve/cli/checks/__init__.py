"""Commands that check: what is deployed, what a server returns, and this host."""
