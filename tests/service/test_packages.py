# Licensed under the Apache License, Version 2.0; see LICENSE.
from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from apache_beam.portability.api import (
    beam_artifact_api_pb2,
    beam_artifact_api_pb2_grpc,
    beam_expansion_api_pb2_grpc,
    beam_fn_api_pb2,
    beam_provision_api_pb2,
    beam_provision_api_pb2_grpc,
    beam_runner_api_pb2,
)
from click.testing import CliRunner
from packaging.utils import parse_wheel_filename

from expansion import cli
from expansion.service import artifacts, environments, serve, wheels
from expansion.service.expand import Offer
from expansion.service.server import ExpansionServer
from expansion.service.wheels import WheelError
from expansion.service.worker_packages import WorkerPackages
from expansion.service.worker_pool import WorkerPool

HOOK = {"their_models.py": "def double(columns): return {'y': 2 * columns['x']}\n"}


@pytest.fixture
def wheel(make_wheel) -> wheels.Wheel:
    return wheels.read(make_wheel(HOOK))


def staged_name(artifact: beam_runner_api_pb2.ArtifactInformation) -> str:
    return beam_runner_api_pb2.ArtifactStagingToRolePayload.FromString(artifact.role_payload).staged_name


def test_a_wheel_is_known_by_its_name_and_content(wheel):
    assert (wheel.project, wheel.version) == ("their-models", "1.0")
    assert wheel.data.startswith(b"PK")


@pytest.mark.parametrize("name", ["their_models.whl", "their_models-1.0.zip", "their_models-one-py3-none-any.whl"])
def test_a_file_that_is_not_named_as_a_wheel_is_refused_with_the_way_to_get_one(tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(WheelError, match=r"no name of a wheel; expected one such as my_hooks-1\.0-py3-none-any\.whl"):
        wheels.read(tmp_path / name)


def test_a_file_that_is_only_named_as_a_wheel_is_refused(tmp_path, make_wheel):
    path = tmp_path / "their_models-1.0-py3-none-any.whl"
    path.write_text("no archive")
    with pytest.raises(WheelError, match="no wheel inside: File is not a zip file"):
        wheels.read(path)
    with pytest.raises(WheelError, match=r"got \['other-1.0.dist-info'\]; expected the metadata of their-models 1.0"):
        wheels.read(make_wheel(HOOK, metadata="other-1.0.dist-info"))


def test_versions_that_are_written_differently_are_the_same(make_wheel):
    path = make_wheel(HOOK, "their_models-1.0.0-py3-none-any.whl", "Their.Models-1.0.dist-info")
    assert wheels.read(path).project == "their-models"


def test_a_damaged_wheel_is_refused(make_wheel):
    path = make_wheel(HOOK)
    path.write_bytes(path.read_bytes().replace(b"double", b"triple", 1))
    with pytest.raises(WheelError, match=r"their_models.py in it is damaged; build it again"):
        wheels.read(path)


def test_a_wheel_is_checked_before_the_service_starts(monkeypatch, make_wheel, tmp_path):
    monkeypatch.setattr(serve, "run", lambda settings: pytest.fail("it started"))
    twice = [make_wheel(HOOK), make_wheel(HOOK, name="their_models-1.0-2-py3-none-any.whl")]
    for paths, reason in [
        ([tmp_path / "missing-1.0-py3-none-any.whl"], "No such file or directory"),
        ([tmp_path], "no name of a wheel"),
        ([Path(__file__)], "no name of a wheel"),
        (twice, "are one project; a worker can have one of them"),
    ]:
        options = [part for path in paths for part in ("--worker-package", str(path))]
        result = CliRunner().invoke(cli.main, ["serve", *options])
        assert result.exit_code == 2
        assert reason in " ".join(result.output.split())


def test_the_service_gets_the_wheels_in_their_order(monkeypatch, make_wheel):
    runs = []
    monkeypatch.setattr(serve, "run", lambda settings: runs.append(settings.packages) or 0)
    paths = [make_wheel({}, "other-2-py3-none-any.whl", "other-2.dist-info"), make_wheel(HOOK)]
    options = [part for path in paths for part in ("--worker-package", str(path))]
    assert CliRunner().invoke(cli.main, ["serve", *options]).exit_code == 0
    assert runs == [tuple(wheels.read(path) for path in paths)]


def test_a_staged_name_says_what_is_inside_and_is_still_a_wheels_name(make_wheel):
    names = {
        wheels.read(make_wheel(modules, name)).staged_name
        for modules in (HOOK, {"their_models.py": ""})
        for name in ("their_models-1.0-py3-none-any.whl", "their_models-1.0-7_fast-py3-none-any.whl")
    }
    assert len(names) == 4
    for name in names:
        project, version, _, _ = parse_wheel_filename(name)
        assert (project, str(version)) == ("their-models", "1.0")


def test_the_same_wheel_has_the_same_staged_name_wherever_it_lies(make_wheel, tmp_path):
    path = make_wheel(HOOK)
    copy = tmp_path / path.name
    copy.write_bytes(path.read_bytes())
    assert wheels.read(copy).staged_name == wheels.read(path).staged_name


def test_a_wheel_for_other_interpreters_is_not_for_the_local_runners_workers(make_wheel, wheel):
    wheel.require_runs_here()
    other = wheels.read(make_wheel(HOOK, name="their_models-1.0-cp27-cp27m-win32.whl"))
    with pytest.raises(WheelError, match="is for cp27-cp27m-win32, and the local runner's workers are cp3"):
        other.require_runs_here()


@pytest.mark.parametrize("spec", ["docker:worker", "process:boot", "external:workers:1"])
def test_an_environment_lists_the_wheels_and_a_requirements_file_that_has_boot_install_them(spec, wheel):
    packages = artifacts.of_wheels([wheel])
    environment = environments.parse(spec, [package.information for package in packages])
    staged, requirements = sorted(environment.artifacts(), key=lambda artifact: artifact.role_urn, reverse=True)
    assert staged.role_urn == "beam:artifact:role:staging_to:v1"
    assert staged_name(staged) == wheel.staged_name
    assert requirements.role_urn == "beam:artifact:role:pip_requirements_file:v1"
    assert [package.data for package in packages] == [wheel.data, b"their-models==1.0\n"]
    for artifact in (staged, requirements):
        assert artifact.type_urn == "beam:artifact:type:file:v1"
        assert len(beam_runner_api_pb2.ArtifactFilePayload.FromString(artifact.type_payload).sha256) == 64


def test_no_wheels_are_no_artifacts():
    assert artifacts.of_wheels([]) == []


@pytest.fixture
def server(wheel):
    packages = artifacts.of_wheels([wheel])
    environment = environments.parse("docker:worker:1", [package.information for package in packages])
    server = ExpansionServer("127.0.0.1", 0, Offer(environment), artifacts=packages)
    yield server
    server.drain()


def test_every_environment_of_an_expansion_has_the_wheels_and_the_service_serves_them(
    server, wheel, java_request, wire_config
):
    request = java_request("bytes", wire_config.SerializeToString())
    with grpc.insecure_channel(server.address) as channel:
        response = beam_expansion_api_pb2_grpc.ExpansionServiceStub(channel).Expand(request)
        assert response.error == ""
        stub = beam_artifact_api_pb2_grpc.ArtifactRetrievalServiceStub(channel)
        ours = [env for name, env in response.components.environments.items() if name.startswith(request.namespace)]
        assert ours
        for environment in ours:
            resolve = beam_artifact_api_pb2.ResolveArtifactsRequest(artifacts=environment.dependencies)
            served = {
                b"".join(
                    part.data for part in stub.GetArtifact(beam_artifact_api_pb2.GetArtifactRequest(artifact=artifact))
                )
                for artifact in stub.ResolveArtifacts(resolve).replacements
            }
            assert served == {wheel.data, b"their-models==1.0\n"}


def test_a_wheel_is_served_as_it_was_when_the_service_started(wheel, make_wheel):
    [staged, _] = artifacts.of_wheels([wheel])
    before = wheel.data
    make_wheel({"their_models.py": "changed"})
    assert staged.data == before


def test_unpacking_brings_modules_to_where_they_are_imported_and_stays_in_the_folder(tmp_path, make_wheel):
    modules = {
        "pure/__init__.py": "",
        "pure/native.cpython-311-x86_64-linux-gnu.so": "ELF",
        "their_models-1.0.data/platlib/pure/other.so": "ELF",
        "their_models-1.0.data/purelib/single.py": "",
        "../outside.py": "",
    }
    folder = tmp_path / "unpacked" / "folder"
    wheels.unpack(io.BytesIO(make_wheel(modules).read_bytes()), folder)
    found = {str(path.relative_to(folder)) for path in folder.rglob("*.*") if path.is_file()}
    assert {"pure/__init__.py", "pure/native.cpython-311-x86_64-linux-gnu.so", "pure/other.so", "single.py"} <= found
    assert list(folder.parent.iterdir()) == [folder]


class Runner(
    beam_provision_api_pb2_grpc.ProvisionServiceServicer, beam_artifact_api_pb2_grpc.ArtifactRetrievalServiceServicer
):
    """What a runner serves to its workers: provision info, and artifacts by their payload."""

    def __init__(self, contents):
        self._contents = contents
        self._server = grpc.server(ThreadPoolExecutor(2))
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        beam_provision_api_pb2_grpc.add_ProvisionServiceServicer_to_server(self, self._server)
        beam_artifact_api_pb2_grpc.add_ArtifactRetrievalServiceServicer_to_server(self, self._server)
        self._server.start()

    def GetProvisionInfo(self, request, context):  # noqa: N802
        assert ("worker_id", "worker_1") in context.invocation_metadata()
        info = beam_provision_api_pb2.ProvisionInfo(dependencies=[package.information for package in self._contents])
        info.artifact_endpoint.url = self.address
        return beam_provision_api_pb2.GetProvisionInfoResponse(info=info)

    def ResolveArtifacts(self, request, context):  # noqa: N802
        return beam_artifact_api_pb2.ResolveArtifactsResponse(replacements=request.artifacts)

    def GetArtifact(self, request, context):  # noqa: N802
        [data] = [package.data for package in self._contents if package.information == request.artifact]
        for start in range(0, len(data), 100):
            yield beam_artifact_api_pb2.GetArtifactResponse(data=data[start : start + 100])

    def start_request(self):
        request = beam_fn_api_pb2.StartWorkerRequest(worker_id="worker_1")
        request.provision_endpoint.url = self.address
        return request


def test_workers_of_the_local_runner_get_a_folder_for_each_wheel_until_the_end(make_wheel):
    other = make_wheel({"other.py": ""}, "other-2-py3-none-any.whl", "other-2.dist-info")
    runner = Runner(artifacts.of_wheels([wheels.read(other), wheels.read(make_wheel(HOOK))]))
    packages = WorkerPackages()
    first, second = packages.folders(runner.start_request())
    assert Path(first, "other.py").exists()
    assert Path(second, "their_models.py").read_text() == HOOK["their_models.py"]
    assert packages.folders(runner.start_request()) == [first, second]
    packages.close()
    assert not Path(first).parent.exists()


def test_a_job_whose_packages_cannot_be_had_gets_the_reason_instead_of_a_worker(wheel):
    [staged, requirements] = artifacts.of_wheels([wheel])
    pool = WorkerPool(lambda worker_id, code: None)
    no_wheel = Runner([artifacts.Artifact(staged.information, b"text"), requirements])
    assert pool.StartWorker(no_wheel.start_request()).error == "staged packages: File is not a zip file"
    nobody = beam_fn_api_pb2.StartWorkerRequest(worker_id="worker_1")
    nobody.provision_endpoint.url = "127.0.0.1:1"
    assert "127.0.0.1:1" in pool.StartWorker(nobody).error
    pool.close()


def test_jobs_that_bring_no_packages_need_no_folder():
    packages = WorkerPackages()
    assert packages.folders(Runner([]).start_request()) == []
    packages.close()
