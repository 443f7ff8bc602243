"""Verification: whether what is deployed is what was proved, on this machine and through a server.

| file | what is compared |
|---|---|
| `files` | files with the hashes of the passport, what is served with the version's own |
| `starting` | what a server would load, before it starts |
| `incoming` | a version from elsewhere with its passport, before it is copied in |
| `served` | a running server with the reference, from image files to labels |
| `configuration` | what a server runs, with the configurations that the version keeps |
| `reference` | the reference's outputs: the version's examples, or PyTorch's for other images |
| `rebuilt` | the PyTorch network of a version, from what its passport names |
| `composition` | the same of a composed model: its members, averaged |
| `subject` | what a server is asked for a version, converted or composed |
| `connection` | the server that is compared: at an address, with TLS, or the repository's own |
| `report` | the rows of all of them, and the error of the worst |
| `watch` | the same again and again, as lines and as metrics |
| `host` | this machine with the one that the passport names |
| `engine_run` | an engine that was built without a GPU, run here, with PyTorch's recorded outputs |
"""
