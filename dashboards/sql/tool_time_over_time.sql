-- How long tools take in all, over time, in seconds; $resolution is the width of a step.
SELECT
time_bucket($resolution, start_timestamp) AS x,
COALESCE(attributes->>'gen_ai.tool.name', 'not said') AS tool,
SUM(duration) AS seconds
FROM records
WHERE (span_name LIKE 'mcp.%' OR (attributes->>'gen_ai.operation.name' = 'execute_tool' AND otel_scope_name <> 'mcp-python-sdk'))
GROUP BY 1, 2
ORDER BY 1, 2;
