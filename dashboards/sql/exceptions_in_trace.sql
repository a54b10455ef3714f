-- What went wrong in one trace, in order. [TRACE_ID] stands for its id.
SELECT span_name, exception_type, exception_message, start_timestamp
FROM records
WHERE trace_id = '[TRACE_ID]' AND is_exception = true
ORDER BY start_timestamp;
