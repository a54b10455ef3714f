"""Recordings to backends: the recording is the queue, and a ledger beside it says how far each backend is through it.

live ────── a thread that sends while a run goes on
acknowledged ── what Logfire has taken from its own SDK       owing ── which recordings are owed
push ────── what is owed, on request
deliver ─── one recording to one backend
senders ─── over_http, over_grpc: a request, and the answer judged (answers)
spool ───── a recording from a position on, in batches     encode ── its lines in protobuf
backend ─── where to, and how: the variables of OpenTelemetry and Logfire
"""
