-- What is still running, or was cut off when its process died: spans that have a start and no end, oldest first.
SELECT
pending.trace_id,
pending.span_name,
pending.start_timestamp,
pending.attributes->>'massgen.agent_id' AS agent
FROM records_all pending
LEFT JOIN records ended ON ended.trace_id = pending.trace_id AND ended.span_id = pending.span_id
WHERE pending.kind = 'pending_span' AND ended.span_id IS NULL
ORDER BY pending.start_timestamp;
