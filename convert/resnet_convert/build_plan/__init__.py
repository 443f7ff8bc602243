"""Build-plan: the plan of a model that was prepared anywhere, or built with another version.

| module | role |
|---|---|
| `prepared` | the version, its options and what `build-plan` changes of them |
| `build` | lint, build, inspect, prove, and write the plan |

`build` imports `prepared`; the command line imports both.
"""
