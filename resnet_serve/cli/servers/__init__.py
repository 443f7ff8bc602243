"""Commands on servers: start one, stop it, ask whether it answers, try it in a browser."""
