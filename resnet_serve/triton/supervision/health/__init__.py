"""Whether a server answers: its backend processes, and small inferences on its models.

`probe` asks once, with the image of `example`, `checks` asks again and again, `stubs` sees a
backend process die, and `reload` loads its model again.
"""
