"""Commands on the models of a repository: list, deploy, promote, roll back, remove, manifests."""
