-- The spans of one trace, in the order they started. [TRACE_ID] stands for its id.
SELECT span_name, span_id, parent_span_id, duration, start_timestamp
FROM records
WHERE trace_id = '[TRACE_ID]'
ORDER BY start_timestamp
LIMIT 50;
