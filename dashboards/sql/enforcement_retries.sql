-- Why agents had to be asked again: how often for each reason, of how many agents and runs, and the most attempts in a row.
SELECT
attributes->>'massgen.enforcement.reason' AS reason,
COUNT(*) AS retries,
COUNT(DISTINCT attributes->>'massgen.agent_id') AS agents,
COUNT(DISTINCT trace_id) AS runs,
MAX((attributes->'massgen.enforcement.attempt')::int) AS most_attempts
FROM records
WHERE span_name = 'Coordination event: enforcement'
GROUP BY 1
ORDER BY retries DESC, reason;
