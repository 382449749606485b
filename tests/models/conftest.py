# Licensed under the Apache License, Version 2.0; see LICENSE.
import datetime
import json
import shutil

import numpy as np
import pytest

from expansion import models
from expansion.models.expected_interface import ExpectedInterface
from expansion.models.refresh import RefreshingModel
from expansion.models.runtime import Runtime
from expansion.tensors.columns import Blobs, Columns, Dense


@pytest.fixture(scope="session")
def columns():
    """Makes Columns of arrays, and of lists of str."""

    def columns(**values):
        made = {
            name: Dense(value) if isinstance(value, np.ndarray) else Blobs.of("STRING", value, len(value))
            for name, value in values.items()
        }
        return Columns(made, len(next(iter(made.values()))))

    return columns


@pytest.fixture(scope="session")
def iris():
    """Features [150, 4] and classes [150]."""
    from sklearn.datasets import load_iris

    return load_iris(return_X_y=True)


@pytest.fixture(scope="session")
def classifier(iris):
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression()).fit(*iris)


@pytest.fixture(scope="session")
def skops_file(tmp_path_factory):
    """Writes an estimator to a skops file and returns its path."""
    import skops.io

    def skops_file(estimator):
        path = tmp_path_factory.mktemp("skops") / "model.skops"
        skops.io.dump(estimator, path)
        return str(path)

    return skops_file


@pytest.fixture(scope="session")
def onnx_file(tmp_path_factory):
    """Writes an ONNX model of these nodes and values to a file and returns its path."""
    from onnx import TensorProto, helper, save_model

    def value(name, datatype, shape):
        return helper.make_tensor_value_info(name, getattr(TensorProto, datatype), shape)

    def onnx_file(nodes, inputs, outputs, initializers=(), **options):
        graph = helper.make_graph(
            [helper.make_node(*node) for node in nodes],
            "graph",
            [each if not isinstance(each, tuple) else value(*each) for each in inputs],
            [each if not isinstance(each, tuple) else value(*each) for each in outputs],
            list(initializers),
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        path = tmp_path_factory.mktemp("onnx") / "model.onnx"
        save_model(model, path, **options)
        return str(path)

    return onnx_file


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """The paths of a key and of its own certificate, for servers on loopback and names of providers of models."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    folder, now = tmp_path_factory.mktemp("tls"), datetime.datetime.now(datetime.timezone.utc)
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name.from_rfc4514_string("CN=test")
    hosts = ("localhost", "test-aiplatform.googleapis.com", "api.openai.com", "router.huggingface.co")
    names = x509.SubjectAlternativeName(list(map(x509.DNSName, hosts)))
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - datetime.timedelta(days=1))
    builder = builder.not_valid_after(now + datetime.timedelta(days=1))
    builder = builder.add_extension(names, critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    (folder / "chain.pem").write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(pem))
    return folder / "key.pem", folder / "chain.pem"


@pytest.fixture
def service_account(tmp_path):
    """Writes the credentials of a service account, whose tokens a server gives out, and returns their path."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    def service_account(token_uri):
        key = rsa.generate_private_key(65537, 2048).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        account = {"type": "service_account", "client_email": "worker@test", "private_key": key.decode()}
        path = tmp_path / "credentials.json"
        path.write_text(json.dumps({**account, "token_uri": token_uri, "project_id": "my-project"}))
        return path

    return service_account


@pytest.fixture
def check_refresh(tmp_path):
    """Checks that a model is as it was while its files are overwritten in place, and after it another."""

    def check_refresh(first, second, configured, inputs, output):
        """Checks with the files of two models.

        Args:
            first: Path of a file or directory.
            second: Path of one with the same signature and other predictions.
            configured: Makes the model's configuration of a path.
            inputs: Inputs of the model.
            output: Name of one of its outputs.
        """
        uri = tmp_path / "used" / first.name
        uri.parent.mkdir()
        (shutil.copytree if first.is_dir() else shutil.copyfile)(first, uri)
        config = configured(str(uri))
        config.refresh_interval_secs = 1e6
        message = models.framework(config)[1]
        signature = models.module_of(config).signature(message)

        def load():
            return models.module_of(config).build(message, Runtime(device="cpu", files_change=True))

        model = RefreshingModel(
            config, load, ExpectedInterface(list(signature.inputs.values()), {output: signature.outputs[output]})
        )
        answers = [model.run(inputs, [output])[output].to_rows()]
        files = [path for path in uri.rglob("*") if path.is_file()] or [uri]
        for path in files:
            path.write_bytes(b"")  # whoever had mapped it would be killed
        answers.append(model.run(inputs, [output])[output].to_rows())
        model.poll()
        model.poll()
        counts = [model.take_counts()]
        for path in files:
            path.write_bytes((second / path.relative_to(uri) if second.is_dir() else second).read_bytes())
        answers.append(model.run(inputs, [output])[output].to_rows())
        model.poll()
        model.poll()
        counts.append(model.take_counts())
        assert counts == [(0, 1), (1, 0)]
        assert str(answers[0]) == str(answers[1]) == str(answers[2])
        other = model.run(inputs, [output])[output].to_rows()
        assert str(other) != str(answers[0])

    return check_refresh
