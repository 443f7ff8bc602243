"""What a refused conversion still gives.

| module | role |
|---|---|
| `refused` | the error that carries the whole conversion |
| `next_request` | the conversion to try next, as a request |
"""
