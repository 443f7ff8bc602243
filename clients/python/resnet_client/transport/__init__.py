"""Transport: gRPC calls to one Triton, each until its deadline.

    channel      the address, TLS, headers, keep-alive    calls           wait, and never cancel
    deadlines    how long, and when to try again          models          the names a server has
    connection   the calls of the protocol                requests        its larger messages
                                                          shared_memory   pixels beside gRPC

`connection` imports the others; they know nothing of it.
"""
