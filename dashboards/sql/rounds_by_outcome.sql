-- How rounds end: how many with an answer, with a vote, restarted, out of time, in an error, of the agents that $agent is a pattern of.
SELECT outcome, rounds FROM (
SELECT COALESCE(attributes->>'massgen.outcome', 'not said') AS outcome, COUNT(*) AS rounds
FROM records
WHERE span_name LIKE 'agent.%.round_%' AND COALESCE(attributes->>'massgen.agent_id', '') LIKE $agent
GROUP BY 1
)
ORDER BY rounds ASC, outcome;
