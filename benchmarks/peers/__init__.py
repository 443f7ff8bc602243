"""Other servers and converters, measured beside ours: `serving_peers.py` composes these.

`peer` is what each server says of itself (one file per server in `servers/`, its own service in
`services/`), `environments` installs it, `processes` starts it and reads what it costs, `load`
sends the requests, `search` finds its best configuration, `rounds` measures all of them in turn,
`results` has the medians and the plot, and `page` the page of the documentation.
"""
