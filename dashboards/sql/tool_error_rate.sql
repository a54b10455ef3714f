-- How often each tool fails, and with which kinds of error.
SELECT
attributes->>'gen_ai.tool.name' AS tool,
COUNT(*) AS calls,
COUNT(*) FILTER (WHERE attributes ? 'error.type') AS errors,
COUNT(*) FILTER (WHERE attributes ? 'error.type')::float / COUNT(*) AS error_rate,
MIN(attributes->>'error.type') AS an_error_type
FROM records
WHERE (span_name LIKE 'mcp.%' OR (attributes->>'gen_ai.operation.name' = 'execute_tool' AND otel_scope_name <> 'mcp-python-sdk'))
GROUP BY 1
ORDER BY error_rate DESC, calls DESC, tool;
