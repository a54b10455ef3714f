-- Answers that their own agents replaced later: of each agent, how many it gave in a run and how many did not last.
SELECT
trace_id,
attributes->>'massgen.agent_id' AS agent,
COUNT(*) AS answers,
COUNT(*) - 1 AS superseded,
MAX(start_timestamp) AS last_answer
FROM records
WHERE span_name LIKE 'Agent answer:%'
GROUP BY 1, 2
ORDER BY superseded DESC, agent;
