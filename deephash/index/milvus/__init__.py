"""A Milvus server as an index: codes past one machine, by the same rules as every other engine.

Nothing here is imported before somebody names an index ``milvus:...``; ``pymilvus`` is the extra ``deephash[milvus]``.
"""

from deephash.index.milvus.address import MilvusAddress
from deephash.index.milvus.connection import Connection
from deephash.index.milvus.index import MilvusIndex
from deephash.index.milvus.opening import open_milvus

__all__ = ["Connection", "MilvusAddress", "MilvusIndex", "open_milvus"]
