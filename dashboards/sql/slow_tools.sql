-- The MCP calls of one trace, slowest first. [TRACE_ID] stands for its id.
SELECT span_name, duration, parent_span_id
FROM records
WHERE trace_id = '[TRACE_ID]' AND span_name LIKE 'mcp.%'
ORDER BY duration DESC;
