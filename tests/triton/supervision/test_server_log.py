"""The server's own words, from logs that a real tritonserver 2.51 wrote."""

from __future__ import annotations

from resnet_serve.triton.supervision import server_log

START = (
    'W1121 00:07:59.643802 83 pinned_memory_manager.cc:273] "Unable to allocate pinned memory"\n'
    'E1121 00:07:59.643994 83 server.cc:241] "CudaDriverHelper has not been initialized."\n'
    'I1121 00:07:59.645262 83 model_lifecycle.cc:472] "loading: bad:1"\n'
    'I1121 00:07:59.645295 83 model_lifecycle.cc:472] "loading: ok:1"\n'
    "I1121 00:08:01.628028 83 model_lifecycle.cc:839] \"successfully loaded 'ok'\"\n"
)
NO_GPU = (
    "Error: Failed to initialize NVML\n"
    'W1121 00:08:01.717156 83 metrics.cc:798] "DCGM unable to start: DCGM initialization error"\n'
)
FAILED = (
    "E1121 00:08:01.715980 83 model_lifecycle.cc:642] \"failed to load 'bad' version 1: Internal: "
    "ContractError: model 'bad', tensor 'x': the model expects \\\"4\\\" dimensions\\n\\nAt:\\n"
    '  /x/contract.py(8): check\\n"\n'
)
ENSEMBLE = (
    "E1121 00:10:38.676693 83 model_repository_manager.cc:703] \"Invalid argument: ensemble 'e' "
    "depends on 'bad' which has no loaded version. Model 'bad' loading failed with error: "
    'version 1 is at UNAVAILABLE state: Internal: …;"\n'
)
END = "error: creating server: Internal - failed to load all models\n"


def test_loading_and_loaded() -> None:
    assert server_log.loading(START) == ("bad", "ok")
    assert server_log.loaded(START) == ("ok",)


def test_a_model_s_reason_without_status_class_and_position() -> None:
    reason = server_log.reason(START + FAILED + NO_GPU + END, 1)
    assert reason == "cannot load bad: model 'bad', tensor 'x': the model expects \"4\" dimensions"


def test_an_ensemble_does_not_repeat_the_reason_of_its_model() -> None:
    assert list(server_log.failures(FAILED + ENSEMBLE)) == ["bad"]


def test_an_ensemble_s_own_reason() -> None:
    log = (
        'E1121 00:10:32.662527 9663 model_repository_manager.cc:703] "Invalid argument: ensemble e '
        'contains models that are not available or ambiguous: nope"\n'
    )
    assert server_log.failures(log) == {
        "e": "ensemble e contains models that are not available or ambiguous: nope"
    }


def test_a_configuration_that_does_not_parse_says_where() -> None:
    log = (
        "[libprotobuf ERROR /tmp/x/text_format.cc:337] Error parsing text-format "
        'inference.ModelConfig: 4:48: Message type "inference.ModelConfig" has no field named '
        '"bogus".\n'
        'E1121 00:10:25.142956 9561 model_repository_manager.cc:1460] "Poll failed for model '
        "directory 'm': failed to read text proto from /repo/m/config.pbtxt\"\n"
    )
    assert 'no field named "bogus"' in server_log.reason(log, 1)


def test_a_repeated_reason_is_said_once() -> None:
    log = (
        "E1121 00:11:15.133721 107 model_lifecycle.cc:642] \"failed to load 'm' version 1: Invalid "
        "argument: failed to run warmup sample 'w': batch size 9, max allowed is 4; batch size 9, "
        'max allowed is 4; batch size 9, max allowed is 4; "\n'
    )
    assert server_log.reason(log, 1).count("max allowed is 4") == 2


def test_a_taken_port() -> None:
    log = (
        'E1121 00:16:09.731432 12578 main.cc:245] "failed to start GRPC service: Unavailable - '
        "Socket '127.0.0.1:18101' already in use \"\n"
    )
    assert server_log.occupied_socket(START + log) == "127.0.0.1:18101"
    assert server_log.occupied_socket(START) is None
    assert server_log.reason(START + log, 1).startswith("failed to start GRPC service")


def test_a_backend_process_that_did_not_live_is_told_from_a_model_that_cannot_be_loaded() -> None:
    died = (
        'E1128 07:24:25.945249 29892 backend_model.cc:692] "ERROR: Failed to create instance: Stub '
        "process 'mean_0_0' is not healthy.\"\n"
        "E1128 07:24:25.945527 29892 model_lifecycle.cc:642] \"failed to load 'mean' version 2: "
        "Internal: Stub process 'mean_0_0' is not healthy.\"\n"
    )
    assert server_log.only_stubs_failed(START + died + NO_GPU + END)
    assert not server_log.only_stubs_failed(START + died + FAILED + END)
    assert not server_log.only_stubs_failed(START + END)


def test_a_signal_is_named() -> None:
    assert "signal 11 (SIGSEGV)" in server_log.reason(START, 139)


def test_one_that_its_supervisor_ended_has_its_reason() -> None:
    ended = "resnet-serve: not ready within 600 s: the server is ended\n"
    assert server_log.reason(START + ended, 143) == "not ready within 600 s"


def test_otherwise_the_last_telling_line() -> None:
    missing = "tritonserver: error while loading shared libraries: libx.so: cannot open\n"
    assert "libx.so" in server_log.reason(missing + NO_GPU, 127)
    assert "status 3" in server_log.reason("", 3)
    assert "status 255" in server_log.reason("", 255)
