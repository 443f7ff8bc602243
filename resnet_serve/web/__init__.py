"""`resnet-serve web`: a page to try the served models in, and a plain HTTP API for applications.

    browser, curl ─ HTTP ─► guard ─► uploads ─► served ─ gRPC ─► Triton
                                        └─ decoded here, once for all models

| file | what |
|---|---|
| `settings` | what is allowed, and the state that handlers share |
| `guard` | host names, tokens, other sites, and the headers of every response |
| `uploads` | the image in a request: raw bytes, a form, or JSON |
| `places` | where the server is, and the repository that it serves |
| `catalog` | the models that it serves now, each with its labels |
| `served` | classify with one model, or compare all that have the same labels |
| `messages` | the responses, which the OpenAPI document describes too |
| `problems` | an error as a status and one line |
| `live` | what Triton's metrics say now |
| `passports` | what the repository says of the served versions |
| `api`, `pages` | the handlers |
| `openapi` | the description of the API |
| `serving` | the routes, and uvicorn on a port |

The application is a client of the server, so that this folder alone imports `resnet_client`: its
deadlines, its attempts and its reading of logits are written once. Nothing imports this folder but
the command, and `resnet_client` does not import it, so that there is no cycle.
"""
