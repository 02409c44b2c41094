"""Floor 5: from a folder of pictures to a collection."""

from deephash.ingest.encoder import StreamEncoder
from deephash.ingest.update import IngestReport, index_folder

__all__ = ["IngestReport", "StreamEncoder", "index_folder"]
