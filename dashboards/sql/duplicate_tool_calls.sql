-- Tool calls that an agent made more than once in a run with the same arguments, and the time that the repetitions took at least.
SELECT
trace_id,
attributes->>'massgen.agent_id' AS agent,
attributes->>'gen_ai.tool.name' AS tool,
attributes->>'gen_ai.tool.call.arguments' AS arguments,
COUNT(*) AS calls,
SUM(duration) - MAX(duration) AS repeated_seconds
FROM records
WHERE (span_name LIKE 'mcp.%' OR (attributes->>'gen_ai.operation.name' = 'execute_tool' AND otel_scope_name <> 'mcp-python-sdk'))
GROUP BY 1, 2, 3, 4
HAVING COUNT(*) > 1
ORDER BY calls DESC, agent, tool, arguments;
