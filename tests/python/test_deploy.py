"""What deploy/ and the documents name must exist in the program: flags, routes, ports, metrics; and the operator's outputs of a
running server: metrics that a Prometheus parser takes, logs that are JSON lines.
"""

import json
import os
import plistlib
import re
import shutil
import socket
import subprocess
import time
import urllib.request

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from conftest import ROOT, fetched_smollm2
from server_fixture import server, start_server  # noqa: F401 (a fixture)

DEPLOY = ROOT / "deploy"


def flags_of(lancet):
    return set(re.findall(r"--[a-z][a-z-]*", lancet.text("serve", "--help")))


def documents(name):
    return [d for d in yaml.safe_load_all((DEPLOY / name).read_text()) if d]


def known_metrics(lancet):
    return set(re.findall(r"`((?:lancet_|process_|vllm:)[a-z_:0-9]+)`", lancet.text("serve", "--print-metrics")))


def get(server, path):  # noqa: F811
    with urllib.request.urlopen(server.url + path, timeout=30) as answer:
        return answer.read().decode()


def test_every_file_is_known_to_these_tests():
    assert {p.name for p in DEPLOY.iterdir()} == {"lancet.service", "lancet.default", "io.github.lancet.plist", "debian",
                                                  "kubernetes.yaml", "podmonitor.yaml", "epp-engine.yaml"}


def test_flags_in_the_files_exist(lancet):
    known = flags_of(lancet)
    for path in [*(p for p in DEPLOY.iterdir() if p.is_file()), ROOT / "docs" / "operations.md"]:
        for flag in re.findall(r"(?<![\w-])--[a-z][a-z-]*", path.read_text()):
            assert flag in known or flag in ("--now", "--format"), f"{path.name}: {flag}"


def test_the_unit_starts_the_program_and_waits_for_the_drain(lancet):
    lines = (DEPLOY / "lancet.service").read_text().splitlines()
    entries = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    command = entries["ExecStart"].split()
    drain = float(command[command.index("--drain-s") + 1])
    assert command[1] == "serve" and float(entries["TimeoutStopSec"]) > drain
    assert entries["Type"] == "notify"


def test_the_launchd_job_does_the_same(lancet):
    with (DEPLOY / "io.github.lancet.plist").open("rb") as file:
        job = plistlib.load(file)
    arguments = job["ProgramArguments"]
    assert job["Label"] == "io.github.lancet" and arguments[1] == "serve"
    assert job["ExitTimeOut"] > float(arguments[arguments.index("--drain-s") + 1])


def test_the_service_manager_hears_when_the_model_answers_and_when_it_stops(tmp_path, monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(60)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        running = start_server("--ctx", "512")
        try:
            assert manager.recv(4096) == b"STATUS=loading the model"
            ready = manager.recv(4096)
            assert ready.startswith(b"READY=1\nSTATUS=ready: ") and running.health()[0] == 200
        finally:
            running.process.terminate()
        assert manager.recv(4096).startswith(b"STOPPING=1\n")
        assert running.process.wait(timeout=20) == 0


def test_the_pod_fits_itself_and_the_program(lancet, server):  # noqa: F811
    deployment, service = documents("kubernetes.yaml")
    pod = deployment["spec"]["template"]["spec"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    (container,) = pod["containers"]
    arguments = dict(a.lstrip("-").split("=", 1) for a in container["args"] if "=" in a)
    (port,) = container["ports"]
    assert port["containerPort"] == int(arguments["port"]) == service["spec"]["ports"][0]["port"]
    assert service["spec"]["ports"][0]["targetPort"] == port["name"]
    assert service["spec"]["selector"].items() <= labels.items()
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["port"] == port["name"]
        get(server, container[probe]["httpGet"]["path"])
    pause = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] > pause + float(arguments["drain-s"])
    (monitor,) = documents("podmonitor.yaml")
    assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint["port"] == port["name"]
    get(server, endpoint["path"])
    (engine,) = documents("epp-engine.yaml")[0]["engineConfigs"]
    assert labels["llm-d.ai/engine-type"] == engine["name"]


def test_metrics_that_the_gateway_reads_exist(lancet):
    known = known_metrics(lancet)
    (engine,) = documents("epp-engine.yaml")[0]["engineConfigs"]
    for key, metric in engine.items():
        assert key == "name" or metric in known, metric
    for name in ("num_requests_waiting", "num_requests_running", "kv_cache_usage_perc", "cache_config_info", "lora_requests_info"):
        assert f"vllm:{name}" in known


def test_generated_documents_are_current(lancet):
    for flag, name in (("--print-limits", "limits.md"), ("--print-metrics", "metrics.md")):
        assert lancet.text("serve", flag) == (ROOT / "docs" / name).read_text(), f"lancet serve {flag} > docs/{name}"


def test_a_limit_out_of_range_is_wrong_usage(lancet):
    lancet.refuses("serve", "--limit-header-bytes", "1", code=2)
    lancet.refuses("serve", "--limit-messages", "-1", code=2)


def test_a_prometheus_parser_takes_the_metrics(server):  # noqa: F811
    text = get(server, "/metrics")
    families = {f.name: f for f in text_string_to_metric_families(text)}
    assert families["lancet_requests_running"].type == "gauge"
    assert families["lancet_time_to_first_token_seconds"].type == "histogram"
    assert families["lancet_prompt_tokens"].type == "counter"
    if promtool := shutil.which("promtool"):
        done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_probes_are_quick_while_the_engine_works(server):  # noqa: F811
    body = json.dumps({"prompt": "Tell me a story.", "max_tokens": 200, "ignore_eos": True, "stream": True}).encode()
    request = urllib.request.Request(server.url + "/v1/completions", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as stream:
        stream.readline()
        times = {}
        for path in ("/livez", "/readyz", "/metrics"):
            times[path] = []
            for _ in range(10):
                began = time.monotonic()
                get(server, path)
                times[path].append(time.monotonic() - began)
        running = [s.value for f in text_string_to_metric_families(get(server, "/metrics")) for s in f.samples
                   if s.name == "lancet_requests_running"]
        stream.read()
    assert running == [1]
    # On a shared machine only the typical time can be promised: a scrape has 10 ms, with a new connection.
    limit_s = 1 if os.environ.get("LANCET_SLOW_BINARY") else 0.05
    for path, all_of in times.items():
        assert sorted(all_of)[5] < limit_s, (path, all_of)


def test_json_logs_are_one_object_a_line_and_a_full_pipe_stops_nothing():
    model, why = fetched_smollm2()
    if not model:
        pytest.skip(f"DID NOT RUN: tools/fetch_smollm2.sh: {why}")
    binary = os.environ.get("LANCET_BINARY", str(ROOT / "build" / "lancet"))
    process = subprocess.Popen([binary, "serve", "-m", str(model), "--port", "0", "--ctx", "512", "--log-format", "json"],
                               stderr=subprocess.PIPE, text=True)
    try:
        url = None
        while not url:
            line = json.loads(process.stderr.readline())
            found = re.search(r"listening on (http://[^ ,]*)", line["message"])
            url = found and found.group(1)
        while line["message"].split(":")[0] != "ready":
            line = json.loads(process.stderr.readline())
        # Nobody reads stderr now: more lines than a pipe holds.
        for i in range(1000):
            with urllib.request.urlopen(urllib.request.Request(f"{url}/v1/models", headers={"x-request-id": f"r{i}-" + "x" * 100})) as a:
                assert a.status == 200
        os.set_blocking(process.stderr.fileno(), False)
        lines = [json.loads(line) for line in process.stderr.read().splitlines()]
        assert lines[0]["message"] == "request" and lines[0]["route"] == "/v1/models" and lines[0]["status"] == 200
        assert lines[0]["id"].startswith("r0-") and len(lines) < 1000
        os.set_blocking(process.stderr.fileno(), True)
        # A line is written after its answer is sent, so the thousandth may come only now.
        urllib.request.urlopen(urllib.request.Request(f"{url}/v1/models", headers={"x-request-id": "last"})).read()
        while lines[-1].get("id") != "last":
            lines.append(json.loads(process.stderr.readline()))
        assert sum(line.get("dropped", line["message"] == "request") for line in lines) == 1001
        process.stderr.close()  # EPIPE from now on
        assert urllib.request.urlopen(f"{url}/v1/models").status == 200
    finally:
        process.terminate()
        assert process.wait(timeout=30) == 0
