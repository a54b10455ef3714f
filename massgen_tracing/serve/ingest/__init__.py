"""What is sent here: OTLP of any SDK, on the disk before it is answered, and then recordings in the root.

routes      OTLP/HTTP; over_grpc OTLP/gRPC
spool       the disk, before an answer; sorting then puts it into recordings, in a process of its own; arrivals is the form between them
requests    what of a request can be taken; documents of one in JSON
bodies      what a request may hold

recordings  one a trace; lines how they are written; tidying seals them
"""

from massgen_tracing.serve.ingest.routes import routes

__all__ = ["routes"]
