"""Manifests: a deployed version as what a cluster or a host runs it with, from its passport.

| file | role |
|---|---|
| `workload` | what the passport says of image, cores, memory, GPU and queue |
| `kubernetes` | Deployment, Service, HorizontalPodAutoscaler, PodDisruptionBudget |
| `helm`, `chart_values` | those as a Helm chart, and the values that it takes |
| `kserve` | InferenceService and ServingRuntime |
| `compose` | a service of Docker Compose |
| `export` | the storage that KServe copies or mounts |
| `document` | objects as YAML |

Objects are those of the `kubernetes` package, and typed ones of ours where it has none; no text is
put together.
"""
