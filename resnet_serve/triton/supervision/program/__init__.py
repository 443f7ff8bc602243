"""The program that is supervised: how it is started, with which arguments, and how it is ended.

`child` is the process, `parent` makes a process its parent, `launch` becomes it. `loaded` and
`completion` choose its arguments, `secret_arguments` keeps its key off the process list.
"""
