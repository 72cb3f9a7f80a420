"""The message classes of our API, built from the committed descriptor set in a private pool.

Private, because a user's own `sms_pb2` in the same process (tests, a client beside the daemon) registers the
same names in the default pool, and two registrations collide. The codec takes its classes from here,
reflection the whole pool.
"""

from __future__ import annotations

from importlib import resources

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpclib.health.v1 import health_pb2
from grpclib.reflection.v1 import reflection_pb2
from grpclib.reflection.v1alpha import reflection_pb2 as reflection_v1alpha_pb2

SERVICE_NAME = "sms.v1.SmsService"


def load_pool() -> DescriptorPool:
    """A new pool with our contract and the two services that stand beside it on the same port."""
    pool = DescriptorPool()
    packed = resources.files("smsproxy.rpc.gen").joinpath("descriptors.binpb").read_bytes()
    for file in FileDescriptorSet.FromString(packed).file:
        pool.Add(file)
    for module in (health_pb2, reflection_pb2, reflection_v1alpha_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    return pool


POOL = load_pool()


def message_class(full_name: str) -> type[Message]:
    """The upb class of ``sms.v1.Something``. Raises KeyError for a name that is not in the contract."""
    return GetMessageClass(POOL.FindMessageTypeByName(full_name))


SmsRequest = message_class("sms.v1.SmsRequest")
SmsResponse = message_class("sms.v1.SmsResponse")
