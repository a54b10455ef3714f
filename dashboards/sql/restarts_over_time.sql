-- How often each agent was made to start again over time; $resolution is the width of a step.
SELECT
time_bucket($resolution, start_timestamp) AS x,
COALESCE(attributes->>'massgen.agent_id', 'not said') AS agent,
COUNT(*) AS restarts
FROM records
WHERE span_name LIKE 'Agent restart:%'
GROUP BY 1, 2
ORDER BY 1, 2;
