-- What fails over time: errors by the kind of span; $resolution is the width of a step.
SELECT
time_bucket($resolution, start_timestamp) AS x,
CASE
WHEN span_name LIKE 'llm.%' THEN 'model calls'
WHEN span_name LIKE 'mcp.%' OR span_name LIKE 'Tool execution:%' THEN 'tool calls'
WHEN span_name LIKE 'agent.%' THEN 'rounds'
ELSE 'other'
END AS kind,
COUNT(*) AS errors
FROM records
WHERE level >= 'error'
GROUP BY 1, 2
ORDER BY 1, 2;
