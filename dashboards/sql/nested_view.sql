-- The spans of one trace, roots told from the spans below them. [TRACE_ID] stands for its id.
SELECT
CASE
WHEN parent_span_id IS NULL THEN span_name
ELSE '  └─ ' || span_name
END as hierarchy,
duration,
span_id,
parent_span_id
FROM records
WHERE trace_id = '[TRACE_ID]'
ORDER BY start_timestamp;
