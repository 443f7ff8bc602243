"""Modules without a test file of their own name: which tests hold them, and why those.

`tests/test_house.py` refuses a row that is not needed or points nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping

TESTED_ELSEWHERE: Mapping[str, tuple[str, str]] = {
    "resnet_serve/checkpoints/pickles/rebuilt.py": (
        "tests/checkpoints/pickles/test_archive.py",
        "compared with what torch rebuilds from the same files",
    ),
    "resnet_serve/checkpoints/states/containers.py": (
        "tests/checkpoints/test_state_dicts.py",
        "the containers of what trainings save, each with its network",
    ),
    "resnet_serve/checkpoints/states/selection.py": (
        "tests/checkpoints/test_state_dicts.py",
        "chooses among the networks of a file",
    ),
    "resnet_serve/verification/engine_run.py": (
        "tests/contract/test_rtx_verify_contract.py",
        "needs TensorRT-RTX and a GPU: against a double of the real bindings",
    ),
    "resnet_serve/comparison/distances.py": (
        "tests/comparison/test_recorded.py",
        "distances and the verdict over them, of a model against recorded outputs",
    ),
    "resnet_serve/web/settings.py": (
        "tests/web/test_api.py",
        "the limits of a running web application, each of them reached",
    ),
    "resnet_serve/web/messages.py": (
        "tests/web/test_openapi.py",
        "the responses, as the OpenAPI document describes them",
    ),
    "resnet_serve/web/problems.py": (
        "tests/web/test_api.py",
        "every status, from a request that leads to it",
    ),
    "resnet_serve/web/uploads.py": (
        "tests/web/test_api.py",
        "every form of an image, and what is none",
    ),
    "resnet_serve/web/places.py": (
        "tests/web/test_serving.py",
        "a server that ends and starts again elsewhere",
    ),
    "resnet_serve/web/passports.py": (
        "tests/web/test_api.py",
        "what a real repository says of its versions",
    ),
    "resnet_serve/web/pages.py": (
        "tests/web/test_page.py",
        "in a real browser; the paths in tests/web/test_api.py",
    ),
    "resnet_serve/cli/servers/browsing.py": (
        "tests/web/test_serving.py",
        "the command, in a process of its own",
    ),
    "resnet_serve/weights/stated_activation.py": (
        "tests/weights/test_activations.py",
        "what files state is half of the decision",
    ),
    "resnet_serve/triton/rollout/admin.py": (
        "tests/triton/rollout/test_rollout.py",
        "the control of a real server",
    ),
    "resnet_serve/triton/backends/canary/model.py": (
        "tests/triton/rollout/test_canary.py",
        "runs inside a real server, between its clients and two versions",
    ),
    "resnet_serve/triton/backends/canary/gauges.py": (
        "tests/triton/rollout/test_canary.py",
        "read from a real server's metrics",
    ),
    "resnet_serve/triton/supervision/health/reload.py": (
        "tests/triton/supervision/test_recovery.py",
        "a backend process of a real server dies",
    ),
    "resnet_serve/batch/failures.py": ("tests/batch/test_images.py", "the kind of each bad image"),
    "resnet_serve/batch/local.py": (
        "tests/batch/on_ray/test_worker.py",
        "what a worker classifies with",
    ),
    "resnet_serve/batch/model.py": (
        "tests/batch/on_ray/test_worker.py",
        "what a worker opens, and refuses",
    ),
    "resnet_serve/batch/request.py": ("tests/batch/servers/test_fleet.py", "what a run is asked"),
    "resnet_serve/batch/rows.py": (
        "tests/batch/on_ray/test_worker.py",
        "the rows that a worker writes",
    ),
    "resnet_serve/batch/run.py": (
        "tests/batch/servers/test_fleet.py",
        "whole runs, killed and gone on with; with Ray in on_ray/test_driver.py",
    ),
    "resnet_serve/batch/ways.py": (
        "tests/batch/servers/test_fleet.py",
        "both ways are run: the other in on_ray/test_driver.py",
    ),
    "resnet_serve/batch/work.py": ("tests/batch/on_ray/test_worker.py", "what a worker does"),
    "resnet_serve/batch/on_ray/pool.py": (
        "tests/batch/on_ray/test_driver.py",
        "with a real Ray, whose workers are killed",
    ),
    "resnet_serve/batch/source/listing.py": (
        "tests/batch/source/test_frozen.py",
        "every kind of input, frozen",
    ),
    "resnet_serve/batch/source/tables.py": (
        "tests/batch/source/test_frozen.py",
        "every kind of input, frozen",
    ),
    "resnet_serve/batch/source/parts.py": (
        "tests/batch/source/test_frozen.py",
        "every kind of input, cut into parts",
    ),
    "resnet_serve/cli/batch.py": (
        "tests/batch/servers/test_fleet.py",
        "the command, really run",
    ),
    "resnet_serve/cli/models/deploying.py": (
        "tests/verification/test_incoming.py",
        "the command that brings a version in",
    ),
    "resnet_serve/cli/models/canaries.py": (
        "tests/triton/rollout/test_canary.py",
        "what the commands say of a canary on a real server",
    ),
    "resnet_serve/triton/rollout/deployed.py": (
        "tests/cli/models/test_versions.py",
        "a conversion changes a server that runs",
    ),
    "resnet_serve/verification/report.py": (
        "tests/verification/test_host.py",
        "the rows that it prints",
    ),
    "resnet_serve/verification/subject.py": (
        "tests/verification/test_composition.py",
        "converted and composed models, asked of one server",
    ),
    "resnet_serve/verification/rebuilt.py": (
        "tests/verification/test_composition.py",
        "networks of every head, built again",
    ),
    "resnet_serve/verification/connection.py": (
        "tests/verification/test_composition.py",
        "a server with TLS, of this repository and at an address",
    ),
    "resnet_serve/triton/client_tls.py": (
        "tests/verification/test_composition.py",
        "a server that asks for a certificate",
    ),
    "resnet_serve/datasets/decided.py": (
        "tests/convert/test_validation.py",
        "the validation images of a conversion",
    ),
    "resnet_serve/datasets/encoded.py": (
        "tests/convert/test_deployment.py",
        "the examples of a conversion",
    ),
    "resnet_serve/triton/rollout/beside.py": (
        "tests/triton/rollout/test_rollout.py",
        "loaded by a real server",
    ),
    "resnet_serve/triton/rollout/smoke.py": (
        "tests/triton/rollout/test_rollout.py",
        "through a real server",
    ),
    "convert/resnet_convert/parity/examples.py": (
        "tests/convert/test_deployment.py",
        "what a conversion deploys",
    ),
    "convert/resnet_convert/build_plan/build.py": (
        "tests/contract/test_trt_build_plan_contract.py",
        "needs TensorRT: against a double of the real bindings",
    ),
    "convert/resnet_convert/build_plan/prepared.py": (
        "tests/contract/test_trt_build_plan_contract.py",
        "the versions that the command builds or refuses",
    ),
    "convert/resnet_convert/tensorrt/judging/judge_process.py": (
        "tests/convert/tensorrt/judging/test_judge.py",
        "runs in the child process that the judge starts",
    ),
    "convert/resnet_convert/tensorrt/judging/verdict.py": (
        "tests/convert/tensorrt/judging/test_judge.py",
        "what goes to the judge and comes back",
    ),
    "convert/resnet_convert/cli/build_plan.py": (
        "tests/convert/cli/test_convert_tensorrt.py",
        "a subcommand, run through the whole command",
    ),
    "convert/resnet_convert/cli/ensemble.py": (
        "tests/convert/ensembles/test_compose.py",
        "a subcommand, run where the members are",
    ),
    "convert/resnet_convert/cli/plan.py": (
        "tests/convert/cli/test_dry_run.py",
        "it shows what a dry run finds, there of conversions and in test_compare.py of comparisons",
    ),
    "convert/resnet_convert/cli/refusals.py": (
        "tests/convert/cli/test_refused.py",
        "what the command prints of a refusal",
    ),
    "convert/resnet_convert/cli/tables.py": (
        "tests/convert/cli/test_convert.py",
        "what the command prints",
    ),
    "convert/resnet_convert/parity/remeasure.py": (
        "tests/convert/cli/test_remeasure.py",
        "times a deployed version, through its command",
    ),
    "convert/resnet_convert/request/loading.py": (
        "tests/convert/test_pipeline.py",
        "loads the weights of every conversion",
    ),
    "convert/resnet_convert/conversion.py": (
        "tests/convert/test_pipeline.py",
        "the result of the pipeline",
    ),
    "convert/resnet_convert/dry_run.py": (
        "tests/convert/cli/test_dry_run.py",
        "compared with what the command does",
    ),
    "convert/resnet_convert/ensembles/composition.py": (
        "tests/convert/ensembles/test_compose.py",
        "composing needs members, a reference and a deployment together",
    ),
    "convert/resnet_convert/ensembles/deployment.py": (
        "tests/convert/ensembles/test_compose.py",
        "composing needs members, a reference and a deployment together",
    ),
    "convert/resnet_convert/ensembles/members.py": (
        "tests/convert/ensembles/test_compose.py",
        "composing needs members, a reference and a deployment together",
    ),
    "convert/resnet_convert/report/page.py": (
        "tests/convert/report/test_report.py",
        "fills in the templates of every page",
    ),
    "convert/resnet_convert/autoselect/entered.py": (
        "tests/convert/autoselect/test_measured.py",
        "what enters, and what is refused",
    ),
    "convert/resnet_convert/autoselect/entrants.py": (
        "tests/convert/autoselect/test_measured.py",
        "what autoselect compares",
    ),
    "convert/resnet_convert/folded.py": (
        "tests/convert/test_pipeline.py",
        "the first half of the pipeline",
    ),
    "convert/resnet_convert/graph/operators/emitter.py": (
        "tests/convert/graph/operators/test_shapes.py",
        "what every row writes with",
    ),
    "convert/resnet_convert/inputs.py": (
        "tests/convert/test_pipeline.py",
        "the first stage of the pipeline",
    ),
    "convert/resnet_convert/parity/candidate.py": (
        "tests/convert/parity/test_compare.py",
        "what is compared",
    ),
    "convert/resnet_convert/parity/opening.py": (
        "tests/convert/parity/test_compare.py",
        "opens what is compared",
    ),
    "convert/resnet_convert/parity/parity_error.py": (
        "tests/convert/test_pipeline_refused.py",
        "the refusal of the pipeline",
    ),
    "convert/resnet_convert/precision.py": (
        "tests/convert/test_precision_holds.py",
        "through whole conversions",
    ),
    "convert/resnet_convert/quantization/ranges.py": (
        "tests/convert/quantization/test_calibrate.py",
        "what calibration returns",
    ),
    "convert/resnet_convert/reference_check/probe.py": (
        "tests/convert/reference_check/test_stage.py",
        "decides with a real network, which the stage has",
    ),
    "convert/resnet_convert/reference_check/search.py": (
        "tests/convert/reference_check/test_stage.py",
        "finds the mistakes made there on trained networks",
    ),
    "convert/resnet_convert/refusals/refused.py": (
        "tests/convert/cli/test_refused.py",
        "the refusal of a whole conversion",
    ),
    "convert/resnet_convert/report/decided.py": (
        "tests/convert/report/test_report.py",
        "a part of the page",
    ),
    "convert/resnet_convert/request/default_target.py": (
        "tests/convert/cli/test_convert_tensorrt.py",
        "the default of --target, by what the host has",
    ),
    "convert/resnet_convert/request/options/network.py": (
        "tests/convert/cli/test_options.py",
        "the options of the command",
    ),
    "convert/resnet_convert/request/options/precision.py": (
        "tests/convert/cli/test_options.py",
        "the options of the command",
    ),
    "convert/resnet_convert/request/options/serving.py": (
        "tests/convert/cli/test_options.py",
        "the options of the command",
    ),
    "convert/resnet_convert/request/options/engines.py": (
        "tests/convert/cli/test_options.py",
        "the options of the command",
    ),
    "convert/resnet_convert/stage_log.py": (
        "tests/convert/test_pipeline.py",
        "the stages that a conversion reports",
    ),
    "resnet_serve/triton/backends/tensorrt_rtx/model.py": (
        "tests/triton/backends/test_tensorrt_model.py",
        "the same backend with another library",
    ),
    "resnet_serve/architectures/architecture.py": (
        "tests/architectures/test_registry.py",
        "the row type, tested over every row of the table",
    ),
    "resnet_serve/architectures/blocks.py": (
        "tests/architectures/test_resnet.py",
        "blocks are compared with the paper as parts of whole networks",
    ),
    "resnet_serve/architectures/reported.py": (
        "tests/architectures/test_table.py",
        "data, shown in the table of the family",
    ),
    "resnet_serve/checkpoints/json_files.py": (
        "tests/checkpoints/test_sidecar_files.py",
        "each file beside the weights is read through it",
    ),
    "resnet_serve/checkpoints/metadata.py": (
        "tests/checkpoints/test_files.py",
        "read with the safetensors file that carries it",
    ),
    "resnet_serve/checkpoints/transformers_files.py": (
        "tests/checkpoints/test_sidecar_files.py",
        "found and read as one of the sidecar files",
    ),
    "resnet_serve/checkpoints/transforms/steps.py": (
        "tests/checkpoints/transforms/test_torchvision_steps.py",
        "what the readers of each library share",
    ),
    "resnet_serve/composed.py": (
        "tests/convert/ensembles/test_compose.py",
        "needs deployed ensembles, which only the converter makes",
    ),
    "resnet_serve/cli/__main__.py": (
        "tests/cli/test_application.py",
        "the tests start it as a program",
    ),
    "convert/resnet_convert/cli/__main__.py": (
        "tests/convert/cli/test_convert.py",
        "the tests start it as a program",
    ),
    "resnet_serve/cli/checks/host.py": ("tests/cli/test_application.py", "prints what others find"),
    "resnet_serve/cli/measuring/load.py": (
        "tests/cli/test_application.py",
        "prints what others measure",
    ),
    "resnet_serve/cli/screen.py": ("tests/cli/servers/test_serving.py", "what the commands print"),
    "resnet_serve/cli/checks/watching.py": (
        "tests/verification/test_watch.py",
        "the command with the real server",
    ),
    "resnet_serve/cli/models/exporting.py": (
        "tests/manifests/test_export.py",
        "the whole command, on deployed files",
    ),
    "resnet_serve/cli/measuring/planning.py": (
        "tests/planning/test_plan.py",
        "the whole command, on written measurements",
    ),
    "resnet_serve/cli/measuring/tuning.py": (
        "tests/tuning/test_bench.py",
        "the whole command, really run",
    ),
    "resnet_serve/cli/checks/verification.py": (
        "tests/verification/test_host.py",
        "the command on real folders",
    ),
    "resnet_serve/triton/layout.py": (
        "tests/triton/repository/test_whole.py",
        "the names of the files that it writes",
    ),
    "resnet_serve/loadtest/perf_process.py": (
        "tests/loadtest/test_perf_analyzer.py",
        "one run of the real program",
    ),
    "resnet_serve/listing.py": (
        "tests/cli/models/test_repository.py",
        "the output of resnet-serve list",
    ),
    "resnet_serve/passport/contents.py": (
        "tests/passport/test_document.py",
        "dataclasses, tested by reading and writing the document",
    ),
    "resnet_serve/runtimes/compiled.py": (
        "tests/runtimes/test_openvino.py",
        "a dataclass, filled by each runtime",
    ),
    "resnet_serve/runtimes/tensorrt_contexts.py": (
        "tests/contract/test_rtx_runtime_contract.py",
        "against a double of the real bindings",
    ),
    "resnet_serve/runtimes/tensorrt_execution.py": (
        "tests/contract/test_trt_runtime_contract.py",
        "against a double of the real bindings",
    ),
    "resnet_serve/runtimes/tensorrt_log.py": (
        "tests/contract/test_trt_runtime_contract.py",
        "against a double of the real bindings",
    ),
    "resnet_serve/triton/backends/contract.py": (
        "tests/triton/backends/test_openvino_load.py",
        "what every backend refuses while it loads",
    ),
    "resnet_serve/triton/backends/image/metrics.py": (
        "tests/triton/supervision/test_served_metrics.py",
        "through the real server",
    ),
    "resnet_serve/triton/backends/image/model.py": (
        "tests/triton/backends/test_image.py",
        "through the real server",
    ),
    "resnet_serve/triton/backends/onnxruntime/autocomplete.py": (
        "tests/triton/backends/test_onnxruntime_load.py",
        "through the real server",
    ),
    "resnet_serve/triton/backends/onnxruntime/contract.py": (
        "tests/triton/backends/test_onnxruntime_load.py",
        "through the real server",
    ),
    "resnet_serve/triton/backends/onnxruntime/model.py": (
        "tests/triton/backends/test_onnxruntime.py",
        "through the real server",
    ),
    "resnet_serve/triton/backends/onnxruntime/options.py": (
        "tests/triton/backends/test_onnxruntime_load.py",
        "through the real server",
    ),
    "resnet_serve/triton/backends/onnxruntime/threads.py": (
        "tests/triton/backends/test_elastic.py",
        "it runs the engines there",
    ),
    "resnet_serve/triton/backends/openvino/contract.py": (
        "tests/triton/backends/test_openvino_load.py",
        "through the real server",
    ),
    "resnet_serve/triton/backends/openvino/model.py": (
        "tests/triton/backends/test_openvino.py",
        "through the real server",
    ),
    "resnet_serve/triton/backends/openvino/options.py": (
        "tests/triton/backends/test_openvino_load.py",
        "through the real server",
    ),
    "resnet_serve/triton/backends/openvino/streams.py": (
        "tests/triton/backends/test_elastic.py",
        "beside the threads of the other backend",
    ),
    "resnet_serve/triton/backends/stub.py": (
        "tests/triton/backends/test_batching.py",
        "types for mypy; the tests run a stand-in of it",
    ),
    "resnet_serve/triton/backends/tensorrt/contract.py": (
        "tests/triton/backends/test_tensorrt_model.py",
        "with a scripted engine, for want of a GPU",
    ),
    "resnet_serve/triton/backends/tensorrt/model.py": (
        "tests/triton/backends/test_tensorrt_model.py",
        "with a scripted engine, for want of a GPU",
    ),
    "resnet_serve/triton/supervision/program/child.py": (
        "tests/triton/supervision/test_supervisor.py",
        "the process that a supervisor starts and ends",
    ),
    "resnet_serve/triton/supervision/health/checks.py": (
        "tests/triton/supervision/test_crashes.py",
        "a thread of the supervisor, tried with servers that are ill",
    ),
    "resnet_serve/triton/supervision/program/parent.py": (
        "tests/triton/supervision/test_supervisor.py",
        "signals end the server; what it left is waited for",
    ),
    "resnet_serve/triton/supervision/program/launch.py": (
        "tests/triton/supervision/test_supervisor.py",
        "the program that becomes the server",
    ),
    "resnet_serve/triton/supervision/tracing/models.py": (
        "tests/triton/supervision/tracing/test_access_log.py",
        "asks the real server",
    ),
    "resnet_serve/triton/supervision/servable.py": (
        "tests/triton/test_server.py",
        "what a server refuses to start on",
    ),
    "resnet_serve/triton/supervision/detached.py": (
        "tests/triton/supervision/test_server_endings.py",
        "a detached server is tested by how it ends",
    ),
    "resnet_serve/triton/supervision/endpoints.py": (
        "tests/triton/test_server.py",
        "what a running server listens on",
    ),
    "resnet_serve/triton/supervision/process.py": (
        "tests/triton/test_server.py",
        "the process of a running server",
    ),
    "clients/python/resnet_client/command/program.py": (
        "tests/client/test_cli.py",
        "it is what the command does",
    ),
}
