-- Which tool each agent waits for longest, by its average call.
WITH tools AS (
SELECT
attributes->>'massgen.agent_id' AS agent,
attributes->>'gen_ai.tool.name' AS tool,
COUNT(*) AS calls,
AVG(duration) AS avg_seconds,
MAX(duration) AS max_seconds,
ROW_NUMBER() OVER (PARTITION BY attributes->>'massgen.agent_id' ORDER BY AVG(duration) DESC) AS place
FROM records
WHERE (span_name LIKE 'mcp.%' OR (attributes->>'gen_ai.operation.name' = 'execute_tool' AND otel_scope_name <> 'mcp-python-sdk'))
GROUP BY 1, 2
)
SELECT agent, tool, calls, avg_seconds, max_seconds
FROM tools
WHERE place = 1
ORDER BY avg_seconds DESC;
