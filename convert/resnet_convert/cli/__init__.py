"""The command line: parse, compose, print.

| module | role |
|---|---|
| `convert` | `resnet-convert`, and the group of its subcommands |
| `archs` | `resnet-convert archs` |
| `build_plan` | `resnet-convert build-plan` |
| `compare` | `resnet-convert compare` |
| `ensemble` | `resnet-convert ensemble` and `resnet-convert ten-crop` |
| `options` | every option, declared once |
| `screen`, `tables` | progress, tables and sentences in the terminal |
| `refusals` | what a refusal shows before its error |

The top floor: nothing imports it.
"""
