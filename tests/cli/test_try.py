# Licensed under the Apache License, Version 2.0; see LICENSE.
import json

import pytest
import yaml

from expansion import extras


def test_rows_are_predicted_and_those_that_fail_are_listed(run, run_json, config_file, rows_file):
    tried = run_json("try", config_file(), rows_file)
    assert [(row["id"], row["sum"]) for row in tried["rows"]] == [(0, [2.5, 3.5]), (2, [2.0, 5.5])]
    [error] = tried["errors"]
    assert (error["stage"], error["element"]["id"]) == ("inference", 1)
    assert tried["schema"][-1] == {"name": "model_id", "datatype": "STRING", "shape": []}
    code, text = run("try", config_file(), rows_file)
    assert code == 0
    assert "1 of 3 rows failed" in text
    for stage in ("load model", "model", "read rows", "write rows"):
        assert f" {stage} " in text


def test_hooks_run_as_in_the_pipeline_and_are_timed(run_json, config_file, rows_file):
    hooks = {"pre_hooks": [{"pad": {"columns": ["x"], "length": 2}}], "post_hooks": [{"select": {"columns": []}}]}
    hooks["post_hooks"] = [{"argmax": {"column": "sum", "output": "best"}}, {"select": {"columns": ["best"]}}]
    tried = run_json("try", config_file(**hooks), rows_file)
    assert [row["best"] for row in tried["rows"]] == [1, 1]
    assert tried["errors"][0]["stage"] == "preprocess"
    assert list(tried["secs"]) == ["read rows", "load model", "pre hooks", "model", "post hooks", "write rows"]


def test_only_so_many_rows_are_read(run_json, config_file, rows_file):
    assert len(run_json("try", config_file(), rows_file, "--rows", "1")["rows"]) == 1


def test_columns_of_csv_are_joined_into_arrays(run_json, config_file, tmp_path):
    data = tmp_path / "rows.csv"
    data.write_text("id,a,b\n7,1,2.5\n")
    tried = run_json("try", config_file(), data, "--array", "x=a..b")
    assert tried["rows"][0]["sum"] == [2.5, 4.0]


def test_a_preset_is_tried_by_name(run_json, server_file, rows_file):
    assert len(run_json("try", "add", rows_file, "--config", server_file)["rows"]) == 2


def test_a_chain_is_tried_model_by_model(run_json, config_file, rows_file, adder, tmp_path):
    (tmp_path / "second.onnx").write_bytes(adder(10, output="more", shape=[2]))
    step = {"model": {"onnx": {"uri": str(tmp_path / "second.onnx")}}, "inputs": [{"name": "x", "columns": ["sum"]}]}
    tried = run_json("try", config_file(then=[step]), rows_file)
    assert tried["rows"][0]["more"] == [12.5, 13.5]
    assert tried["rows"][0]["model_id"].endswith("adder.onnx, " + str(tmp_path / "second.onnx"))
    assert "load model 2" in tried["secs"]


@pytest.mark.parametrize("routing", ["split", "per_key", "model_uris"])
def test_models_of_several_are_tried(run_json, config_file, model_file, tmp_path, routing):
    data = tmp_path / "rows.jsonl"
    data.write_text('{"key": "adder", "x": [1, 2]}\n{"key": "b", "x": [1, 2]}\n')
    model = {"onnx": {"uri": str(model_file)}}
    fields = {
        "split": {"split": {"column": "key", "arms": [{"name": n, "weight": 1, "model": model} for n in "ab"]}},
        "per_key": {
            "model": {"onnx": {"uri": str(model_file).replace("adder", "{key}")}},
            "per_key": {"column": "key", "signature_key": "adder"},
        },
        "model_uris": {"model_uris": {}},
    }[routing]
    path = config_file(**fields)
    if routing == "split":
        path.write_text(yaml.safe_dump(fields))
    tried = run_json("try", path, data)
    assert tried["rows"][0]["sum"] == [2.5, 3.5]
    assert len(tried["errors"]) == (routing == "per_key")


def test_ml_transform_learns_from_the_rows_and_writes_nothing(run_json, tmp_path):
    data, config, artifact = tmp_path / "rows.csv", tmp_path / "prepare.yaml", tmp_path / "artifact"
    data.write_text("age,city\n10,Rome\n20,Oslo\n30,Rome\n,Rome\n")
    config.write_text(
        yaml.safe_dump(
            {
                "operations": [
                    {"impute": {"columns": ["age"], "strategy": "median"}},
                    {"scale_to_01": {"columns": ["age"]}},
                    {"compute_and_apply_vocabulary": {"columns": ["city"]}},
                ],
                "write_artifact_location": str(artifact),
            }
        )
    )
    tried = run_json("try", config, data)
    assert [(row["age"], row["city"]) for row in tried["rows"]] == [(0.0, 0), (0.5, 1), (1.0, 0), (0.5, 0)]
    assert "learn" in tried["secs"]
    assert not artifact.exists()


def test_ml_transform_applies_an_artifact(run_json, tmp_path, write_artifact):
    data, config = tmp_path / "rows.jsonl", tmp_path / "prepare.yaml"
    data.write_text('{"age": 5.0, "city": "a"}\n')
    write_artifact(str(tmp_path / "artifact"))
    config.write_text(yaml.safe_dump({"read_artifact_location": str(tmp_path / "artifact")}))
    assert run_json("try", config, data)["rows"] == [{"age": 0.5, "city": "a", "index": 1}]


def test_what_only_a_pipeline_can_do_is_told(run, tmp_path, rows_file):
    config = tmp_path / "prepare.yaml"
    config.write_text("operations: [{scale_to_01: {columns: [id]}}]\nengine: TFT\nwrite_artifact_location: /tmp/x")
    code, text = run("try", config, rows_file)
    assert code == 1
    assert "engine: got 'TFT', which can be tried in a pipeline only" in text


def test_a_missing_extra_is_told_with_the_command_that_installs_it(run, config_file, rows_file, monkeypatch):
    monkeypatch.setattr(extras, "_version", lambda name: "" if name == "onnxruntime" else "1")
    code, text = run("try", config_file(), rows_file)
    assert (code, text) == (1, "onnx needs onnxruntime; pip install 'beam-ml-expansion[onnx]'")


def test_a_configuration_that_does_not_suit_the_rows_is_told(run, config_file, tmp_path):
    data = tmp_path / "rows.jsonl"
    data.write_text('{"y": [1, 2]}\n')
    code, text = run("try", config_file(), data)
    assert code == 1
    assert "model input 'x': no column 'x'; expected one of 'y'" in text


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("rows.txt", "a", "expected a name that ends in .csv"),
        ("rows.jsonl", "{", "can't be read as jsonl"),
        ("rows.csv", "a,b\n", "has no rows"),
        ("rows.parquet", "PAR1", "can't be read as parquet"),
        ("rows.json", json.dumps({"a": 1}), "can't be read as json"),
    ],
)
def test_data_that_can_t_be_read_is_told(run, config_file, tmp_path, name, content, said):
    (tmp_path / name).write_text(content)
    code, text = run("try", config_file(), tmp_path / name)
    assert code == 1
    assert said in text


def test_a_model_that_does_not_load_is_told(run, config_file, rows_file, model_file):
    path = config_file(model={"onnx": {"uri": str(model_file)}, "device": "cuda:7"})
    code, text = run("try", path, rows_file)
    assert code == 1
    assert "cuda:7" in text
