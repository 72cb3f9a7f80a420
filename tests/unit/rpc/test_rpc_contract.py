"""The public contract: every field number, type and name is frozen, the generated code is what it says."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from types import ModuleType

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import Default, DescriptorPool

from smsproxy.rpc.descriptors import POOL

ROOT = Path(__file__).resolve().parents[3]

CONTRACT = {
    "SmsRequest": """
        1 int64 task_id
        2 string transaction_id
        3 int64 app_id
        4 int64 esme
        5 optional int32 ston
        6 optional int32 snpi
        7 string saddr
        8 optional int32 dton
        9 optional int32 dnpi
        10 string daddr
        11 string message
        12 int64 sent_at
        13 string strategy
    """,
    "SmsResponse": """
        1 bool success
        2 string error
        3 int64 esme
        4 string transaction_id
        5 string message_id
        6 string status
        7 repeated string sms_ids
        8 int64 task_id
        9 int64 retry_after_ms
        10 bool repeated
    """,
    "CheckESMERequest": "1 int64 esme",
    "CheckESMEResponse": """
        1 bool persist
        2 string system_id
    """,
    "CheckTextLenRequest": """
        1 string text
        2 int64 esme
    """,
    "CheckTextLenResponse": """
        1 string error
        2 string encode
        3 int32 symbols
        4 int32 parts
        5 int32 units
    """,
    "SmsStatusRequest": """
        1 int64 esme
        2 string message_id
    """,
    "SmsStatusResponse": """
        1 string message_id
        2 string mode
        3 map<string,string> parts
        4 int32 delivered_count
        5 int64 sent_at
        6 int64 updated_at
        7 string transaction_id
        8 int64 task_id
        9 string status
        10 string error
        11 map<string,string> reasons
    """,
}
RPCS = """
    SendMessage(SmsRequest) SmsResponse
    SendMessageStream(stream SmsRequest) stream SmsResponse
    CheckESME(CheckESMERequest) CheckESMEResponse
    CheckTextLen(CheckTextLenRequest) CheckTextLenResponse
    SmsInfo(SmsStatusRequest) SmsStatusResponse
"""
TYPES = {
    FieldDescriptor.TYPE_INT64: "int64",
    FieldDescriptor.TYPE_INT32: "int32",
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_BOOL: "bool",
}


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.strip().splitlines()]


def described(field: FieldDescriptor) -> str:
    """A field as the contract writes it."""
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        entry = field.message_type
        assert entry.GetOptions().map_entry
        kind = f"map<{TYPES[entry.fields[0].type]},{TYPES[entry.fields[1].type]}>"
    else:
        kind = TYPES[field.type]
        if field.is_repeated:
            kind = f"repeated {kind}"
        elif field.has_presence:
            kind = f"optional {kind}"
    return f"{field.number} {kind} {field.name}"


def contract_of(message: Descriptor) -> list[str]:
    return [described(field) for field in message.fields]


@pytest.mark.parametrize("name", CONTRACT)
def test_field_numbers_types_and_names_are_frozen(name: str) -> None:
    assert contract_of(POOL.FindMessageTypeByName(f"sms.v1.{name}")) == lines(CONTRACT[name])


def test_the_contract_has_no_message_that_is_not_frozen() -> None:
    file = POOL.FindFileByName("sms/v1/sms.proto")
    assert set(file.message_types_by_name) == set(CONTRACT)


def test_rpcs_are_frozen() -> None:
    service = POOL.FindServiceByName("sms.v1.SmsService")
    found = [
        f"{rpc.name}({'stream ' if rpc.client_streaming else ''}{rpc.input_type.name}) "
        f"{'stream ' if rpc.server_streaming else ''}{rpc.output_type.name}"
        for rpc in service.methods
    ]
    assert found == lines(RPCS)


def test_the_policy_contract_is_frozen() -> None:
    file = POOL.FindFileByName("policy/v1/policy.proto")
    assert set(file.message_types_by_name) == {"ScreenRequest", "ScreenResponse"}
    assert contract_of(POOL.FindMessageTypeByName("policy.v1.ScreenRequest")) == [
        "1 int64 app_id",
        "2 string strategy",
        "3 string saddr",
        "4 repeated string daddrs",
        "5 bool reserve",
    ]
    assert contract_of(POOL.FindMessageTypeByName("policy.v1.ScreenResponse")) == [
        "1 repeated string verdicts"
    ]
    service = POOL.FindServiceByName("policy.v1.ContactPolicyService")
    assert [rpc.name for rpc in service.methods] == ["Screen"]


def test_a_changed_field_number_is_noticed() -> None:
    packed = (ROOT / "smsproxy/rpc/gen/descriptors.binpb").read_bytes()
    files = FileDescriptorSet.FromString(packed).file
    file = next(one for one in files if one.package == "sms.v1")
    file.message_type[0].field[0].number = 99
    pool = DescriptorPool()
    pool.Add(file)
    changed = pool.FindMessageTypeByName(f"sms.v1.{file.message_type[0].name}")
    assert contract_of(changed) != lines(CONTRACT[file.message_type[0].name])


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("protos_generate", ROOT / "protos/generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_code_is_what_the_proto_gives(
    generator: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert generator.main(["--check"]) == 0, capsys.readouterr().err


def test_drift_names_each_file(
    generator: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gen = tmp_path / "gen"
    shutil.copytree(ROOT / "smsproxy/rpc/gen", gen, ignore=shutil.ignore_patterns("__pycache__"))
    (gen / "sms/v1/__init__.py").write_text("# edited by hand\n")
    (gen / "message_pool.py").unlink()
    (gen / "extra.py").write_text("")
    assert generator.main(["--check", "--gen", str(gen)]) == 1
    told = capsys.readouterr().err
    assert "gen/sms/v1/__init__.py: differs" in told
    assert "gen/message_pool.py: missing" in told
    assert "gen/extra.py: not generated" in told

    assert generator.main(["--gen", str(gen)]) == 0
    assert generator.drift(generator.tree(gen), generator.tree(ROOT / "smsproxy/rpc/gen")) == []


def test_a_broken_proto_is_told_in_protocs_words(
    generator: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.proto").write_text('syntax = "proto3"; message M { int64 a = 1; int64 b = 1; }')
    monkeypatch.setattr(generator, "PROTOS", tmp_path)
    with pytest.raises(SystemExit, match="already been used"):
        generator.generate(tmp_path)


def test_our_classes_do_not_touch_the_default_pool() -> None:
    assert POOL is not Default()
